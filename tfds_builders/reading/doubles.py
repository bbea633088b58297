"""Files that lie twice in a dataset, byte for byte."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping

from absl import logging
from etils import epath


def warn_of_doubles(images: Mapping[epath.Path, str], *, title: str) -> None:
    """Logs how many images are copies of others, and how many of those are in another split.

    Args:
        images: split by file.
        title: of the dataset.
    """
    by_size = defaultdict(list)
    for path in images:
        by_size[path.stat().length].append(path)
    first: dict[bytes, epath.Path] = {}
    doubled = []
    for paths in by_size.values():
        if len(paths) == 1:
            continue
        for path in sorted(paths):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
            if first.setdefault(digest, path) is not path:
                doubled.append((path, first[digest]))
    if doubled:
        across = [pair for pair in doubled if images[pair[0]] != images[pair[1]]]
        logging.warning(
            "%s: %d images are byte for byte equal to another image, %d of them to one of another "
            "split. For example %s and %s.",
            title,
            len(doubled),
            len(across),
            *map(str, (across or doubled)[0]),
        )
