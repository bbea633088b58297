"""A validation split for datasets that publish none."""

from collections import defaultdict
from collections.abc import Mapping

_EVERY = 10


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
