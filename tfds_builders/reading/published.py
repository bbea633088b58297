"""What the official release of a dataset has, and the faces of each class held against it."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from absl import logging
from etils import epath

from tfds_builders.reading.faces import Face


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """What the official release has.

    Attributes:
        title: of the dataset, for errors.
        classes: names in index order.
        numbers: the ways in which folders are numbered by the official labels, in index order.
        other_numbers: ways that are read only where names or counts prove the order.
        name: pattern of an official image's name without its ending; its group `id` is the face.
        split: official split of a face, None where the id does not say.
        counts: faces of each class, by official split.
    """

    title: str
    classes: Sequence[str]
    numbers: Sequence[Sequence[int]]
    other_numbers: Sequence[Sequence[int]] = ()
    name: re.Pattern
    split: Callable[[str], str | None]
    counts: Mapping[str, Sequence[int]]


def check_counts(faces: Sequence[Face], *, release: Release, where: epath.PathLike) -> bool:
    """Warns where the faces of each class are not as many as in the official release.

    Args:
        faces: all that were read.
        release: the official one; classes without a published count do not count.
        where: what was read, for errors.

    Returns:
        Whether all are.

    Raises:
        ValueError: a split has the published counts, of other classes.
    """
    counted = Counter((face.split, face.label) for face in faces)
    counts = {
        split: [
            counted[split, label]
            for label in range(len(release.counts.get(split, release.classes)))
        ]
        for split in dict.fromkeys((*release.counts, *sorted({face.split for face in faces})))
    }
    published = {split: list(numbers) for split, numbers in release.counts.items()}
    for split, numbers in published.items():
        if counts[split] != numbers and sorted(counts[split]) == sorted(numbers):
            raise ValueError(
                f"{where}: {split} has the published numbers of faces, but for other classes. The "
                f"classes are in another order than {', '.join(release.classes)}. Received: "
                f"{counts[split]}, published {numbers}"
            )
    if counts == published:
        return True
    all_counted, all_published = (sum(map(sum, splits.values())) for splits in (counts, published))
    logging.warning(
        "%s: %s; published: %s (%s). Results are not comparable.",
        release.title,
        _totals(counts),
        _totals(published),
        "the same total, but split or labelled again"
        if all_counted == all_published
        else "only a part of the dataset"
        if all_counted < all_published
        else "more faces, augmented or added",
    )
    return False


def _totals(counts: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(
        f"{split} {sum(numbers):,} {tuple(numbers)}" for split, numbers in counts.items()
    )
