"""A validation split for datasets that publish none."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

_EVERY = 10


def with_validation(faces: Sequence[Any]) -> list[Any]:
    """The `faces.Face`s; where none is of validation, a part of train is held out for it."""
    if any(face.split == "validation" for face in faces):
        return list(faces)
    chosen = held_out({face.id: face.label for face in faces if face.split == "train"})
    found = f"every {_EVERY}th face of each class of train is held out for it"
    few = f"no class of train has {_EVERY} faces, so none is held out"
    logging.warning("no validation split: %s", found if chosen else few)
    return [
        dataclasses.replace(face, split="validation")
        if face.split == "train" and face.id in chosen
        else face
        for face in faces
    ]


def held_out(labels: Mapping[str, int | str]) -> set[str]:
    """Every tenth face of each class, in the order of the ids: the same faces on every machine.

    TFDS' own slices (`train[90%:]`) follow the order of the files, which hashes of the keys decide,
    and leave the shares of the classes to chance.

    Args:
        labels: class by face id.

    Returns:
        Ids of the faces 10, 20, 30... of each class.
    """
    by_class = defaultdict(list)
    for face_id in sorted(labels):
        by_class[labels[face_id]].append(face_id)
    return {face_id for ids in by_class.values() for face_id in ids[_EVERY - 1 :: _EVERY]}
