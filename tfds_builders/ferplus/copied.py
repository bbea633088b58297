"""Copies of FERPlus in class folders, such as `train/anger/fer0000000.png`; they have no votes.

Which rule made a class of the votes is not known of a copy.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from absl import logging
from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.reading import conditions, copies, published

# The first image of each split; numbers between are those of withdrawn pictures, too.
_STARTS = {"test": "fer0032220", "validation": "fer0028638", "train": "fer0000000"}


def _split(face_id: str) -> str:
    return next(split for split, start in _STARTS.items() if face_id >= start)


RELEASE = published.Release(
    title="FERPlus",
    classes=LABELS["ferplus"],
    numbers=(),
    other_numbers=(range(8),),  # as in the folders of the RAN authors
    name=re.compile(r"(?P<id>fer\d{7})"),
    split=_split,
    # By the protocol of the RAN lists, from label.csv.
    counts={
        "train": (8733, 7284, 3136, 3022, 2098, 116, 536, 120),
        "validation": (1180, 862, 411, 348, 289, 25, 60, 16),
        "test": (1083, 892, 394, 382, 269, 16, 86, 15),
    },
)


def read_copy(root: epath.Path, *, manual_dir: epath.Path) -> copies.Copy:
    """Reads a copy.

    Raises:
        FileNotFoundError: a folder of a class has no image.
        ValueError: what `copies.read_copy` refuses, or it is FER2013.
    """
    copy = copies.read_copy(root, manual_dir=manual_dir, release=RELEASE)
    contempt = LABELS["ferplus"].index("contempt")
    if not any(face.label == contempt or face.named for face in copy.faces):
        raise ValueError(
            f"{root} holds FER2013, not FERPlus: seven classes without contempt, and no votes. "
            "The votes of FERPlus cannot be joined to it, because the images do not have "
            "FERPlus' names. Build fer2013 for FER2013's own labels, or get FERPlus from "
            f"https://github.com/microsoft/FERPlus. Received: {copy.layout}"
        )
    return copy


def check_lists(
    lists: Mapping[str, Sequence[conditions.ListRow]], *, faces: Mapping[str, conditions.Known]
) -> None:
    """Checks that most listed faces of each class have that class in a copy, too.

    All of them need not: another rule may have made the classes of the copy.

    Args:
        lists: rows by condition, of faces in the copy.
        faces: those that lists may name, by id.

    Raises:
        ValueError: the classes are in another order.
    """
    labels = {row.id: row.label for rows in lists.values() for row in rows}
    listed = Counter(labels.values())
    equal = Counter(label for name, label in labels.items() if faces[name].label == label)
    for label, count in listed.items():
        if 2 * equal[label] < count:
            raise ValueError(
                f"of the {count} faces to which the authors' lists give {label} "
                f"({LABELS['ferplus'][label]}), this copy gives that label to {equal[label]}. Its "
                "folders are in another order: name them by class. Received: "
                f"{next(faces[n].cell for n, own in labels.items() if own == label)}"
            )
    if equal.total() < listed.total():
        logging.warning(
            "ferplus: %d of the %d listed faces have another class than in the authors' lists. "
            "The classes of this copy come from another rule or another round of votes.",
            listed.total() - equal.total(),
            listed.total(),
        )
