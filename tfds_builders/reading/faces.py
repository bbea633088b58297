"""One face of a dataset, before its image is read."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

SPLITS = ("train", "validation", "test", "ambiguous")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Face:
    """One face.

    Attributes:
        id: by which lists name it; the path of its image where nothing else is known.
        split: of `SPLITS`.
        label: class index; its name where the build sets the classes.
        source: what the label is from, for errors: file and row, or a folder.
        image: its file.
        named: whether its image has the official name.
    """

    id: str
    split: str
    label: Any
    source: str
    image: epath.Path
    named: bool = True


def by_split(faces: Iterable[Any]) -> dict[str, list[Any]]:
    """The faces of each split that has any: TFDS writes no empty one."""
    splits: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for face in faces:
        splits[face.split].append(face)
    return {split: some for split, some in splits.items() if some}


def describe(splits: Mapping[str, Sequence[Any]]) -> str:
    """How many faces each split has, for the log."""
    return ", ".join(f"{split} {len(faces)}" for split, faces in splits.items())
