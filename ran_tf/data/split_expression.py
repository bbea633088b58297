"""TFDS' split expressions, read where there is no TFDS: names, `a+b`, `[a:b]`, per cent."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

# A slice has at least one bound.
_PART = re.compile(r"([\w-]+)(?:\[(?!:\])([^:\]]*):([^:\]]*)\])?", re.ASCII)
_BOUND = re.compile(r"-?[0-9]{1,12}|-?[0-9]{1,3}(?:\.[0-9]{1,9})?%", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Faces skip..skip+take-1 of a file.

    Attributes:
      split: whose file it is.
      file: number of the file among those of the split; some other name of it in TFDS.
      skip, take: faces.
    """

    split: str
    file: int | str
    skip: int
    take: int


def pieces(expression: str, *, shards: Mapping[str, Sequence[int]]) -> list[Piece]:
    """The pieces of files that a split expression names, as TFDS has them.

    Args:
      expression: "train", "train[:90%]", "train+ambiguous[10:]", "all".
      shards: faces in each file of each split.

    Raises:
      ValueError: for another expression, an unknown split or a slice beyond it.
    """
    if expression == "all" and "all" not in shards:
        expression = "+".join(shards)
    return [
        piece
        for part in re.split(r"\s*\+\s*", expression)
        for piece in _of_part(part, shards=shards)
    ]


def _of_part(part: str, *, shards: Mapping[str, Sequence[int]]) -> list[Piece]:
    found = _PART.fullmatch(part)
    if not found or found[1] not in shards:
        raise ValueError(f"no split {part!r}")
    name, lengths = found[1], shards[found[1]]
    size, bounds = sum(lengths), [found[2] or "", found[3] or ""]
    if "%" in "".join(bounds):  # of one bound it is meant for both
        bounds = [f"{bound.rstrip('%')}%" if bound else "" for bound in bounds]
    first = _place(bounds[0], default=0, size=size)
    end = _place(bounds[1], default=size, size=size)
    made, start = [], 0
    for number, length in enumerate(lengths):
        skip, last = max(first - start, 0), min(end - start, length)
        if last > skip:
            made.append(Piece(name, number, skip, last - skip))
        start += length
    return made


def _place(bound: str, *, default: int, size: int) -> int:
    """Where a bound of a slice lies, 0..size."""
    if not bound:
        return default
    if not _BOUND.fullmatch(bound):
        raise ValueError(f"no bound {bound!r}")
    if bound.endswith("%"):
        share = float(bound[:-1])
        if abs(share) > 100:
            raise ValueError(f"beyond 100 %: {bound!r}")
        place = round(share * size / 100)
    else:
        place = int(bound)
    if abs(place) > size:
        raise ValueError(f"beyond the {size} faces: {bound!r}")
    return size + place if bound.startswith("-") else place


def shared(some: Sequence[Piece], others: Sequence[Piece]) -> int:
    """Number of faces that are in both."""
    lengths = [
        min(a.skip + a.take, b.skip + b.take) - max(a.skip, b.skip)
        for a in some
        for b in others
        if (a.split, a.file) == (b.split, b.file)
    ]
    return sum(max(0, length) for length in lengths)
