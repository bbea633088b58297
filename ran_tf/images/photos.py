"""Many images: which files of a folder are some, and how many are held at once."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ran_tf.images import decoding

# Images are held together until they have this many pixels: bounds the memory of a batch.
MAX_HELD_PIXELS = 16_000_000

# Of many files or frames: what of one group must be done in turn another computes beside.
GROUPS_AT_ONCE = 2


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
      files: sorted.
      left_out: how many files are not among them, by reason.
    """

    files: list[pathlib.Path]
    left_out: Mapping[str, int]


def find_files(
    folder: str | os.PathLike,
    *,
    also: Callable[[pathlib.Path], bool] = lambda path: False,
    exclude: str | os.PathLike | None = None,
) -> Listing:
    """The images below a folder.

    A file is one if its name ends as those of images do (what cannot be read of these is for its
    reader to say), or else if its first bytes are an image's.

    Args:
      folder: searched in depth. What is hidden is left out and not counted; links to folders are
        not followed.
      also: says whether a file that is no image is wanted, too.
      exclude: a folder in it that is left out, too.

    Raises:
      OSError: the folder, or one below it, cannot be read.
    """
    skipped = exclude and pathlib.Path(exclude).resolve()
    found: list[pathlib.Path] = []
    left_out: collections.Counter[str] = collections.Counter()
    for at, folders, names in os.walk(os.fspath(folder), onerror=_raise):
        below = pathlib.Path(at)
        folders[:] = [x for x in folders if x[0] != "."]
        if skipped:
            folders[:] = [x for x in folders if (below / x).resolve() != skipped]
        left_out["link to a folder"] += sum((below / x).is_symlink() for x in folders)
        for path in (below / x for x in names if x[0] != "."):
            named = path.name.lower().endswith(decoding.SUFFIXES)
            reason = "" if named or also(path) else _why_not(path)
            if reason:
                left_out[reason] += 1
            else:
                found.append(path)
    return Listing(files=sorted(found), left_out=+left_out)


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Counts of files by reason, in words: "2 HEIC (save it as JPEG), 1 broken link"."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))


def _why_not(path: pathlib.Path) -> str:
    """Why a file is no image that is read; nothing if it is one."""
    try:
        if not decoding.is_file(path):
            return "pipe, device or socket" if path.exists() else "broken link"
        with path.open("rb") as file:
            kind = decoding.kind_of(file.read(decoding.HEAD_BYTES))
    except OSError:
        return "that cannot be opened"
    if kind in decoding.NOT_READ:
        return f"{kind} ({decoding.NOT_READ[kind]})"
    return "" if kind else "of another kind"


def _raise(error: OSError) -> None:
    raise error


def group(
    items: Iterable[tuple[Any, np.ndarray]], *, most: int | None = None
) -> Iterator[list[tuple[Any, np.ndarray]]]:
    """Groups images that are worked on together.

    Args:
      items: (whatever, image [H, W, ...]), which may be made as they are asked for.
      most: items of a group; fewer where they reach `MAX_HELD_PIXELS`.

    Yields:
      Lists of items, in order.

    Raises:
      OSError, ValueError: what `items` raises, after the group of those before it.
    """
    held, pixels, problem = [], 0, None
    try:
        for item in items:
            held.append(item)
            pixels += item[1].shape[0] * item[1].shape[1]
            if len(held) == most or pixels >= MAX_HELD_PIXELS:
                yield held
                held, pixels = [], 0
    except (OSError, ValueError) as error:
        problem = error
    if held:
        yield held
    if problem is not None:
        raise problem
