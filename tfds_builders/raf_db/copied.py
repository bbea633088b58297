"""Copies of RAF-DB's aligned faces in class folders, with or without tables of their labels.

    DATASET/train/5/train_00001_aligned.jpg, DATASET/test/7/test_0001_aligned.jpg
    train_labels.csv, test_labels.csv       in that folder or beside it; `image,label`, labels 1..7

A table says again what the folders say, and must agree with them.
"""

import re

from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.reading import copies, published, text_files

RELEASE = published.Release(
    title="RAF-DB",
    classes=LABELS["raf_db"],
    numbers=(range(1, 8),),
    other_numbers=(range(7),),  # as in the folders of the RAN authors
    name=re.compile(r"(?P<id>(train|test)_\d+)(_aligned)?"),
    split=lambda face_id: face_id.partition("_")[0],
    counts={
        "train": (1290, 281, 717, 4772, 1982, 705, 2524),
        "test": (329, 74, 160, 1185, 478, 162, 680),
    },
)
_TABLES = ("train_labels.csv", "test_labels.csv")


def read_copy(root: epath.Path, *, manual_dir: epath.Path) -> copies.Copy:
    """Reads the folders, and holds the tables against them.

    Raises:
        FileNotFoundError: a folder of a class has no image.
        ValueError: what `copies.read_copy` refuses, or a table that contradicts the folders.
    """
    copy = copies.read_copy(root, manual_dir=manual_dir, release=RELEASE)
    for name in _TABLES:
        for folder in dict.fromkeys((root, root.parent, manual_dir)):
            if (folder / name).is_file():
                _check_table(folder / name, copy=copy)
    return copy


def _check_table(path: epath.Path, *, copy: copies.Copy):
    by_name: dict[str, list[copies.Face]] = {}
    for face in copy.faces:
        by_name.setdefault(face.image.name, []).append(face)
    for record in text_files.read_records(
        path, columns=("image", "label"), remedy="use the file that came with the folders"
    ):
        image, label = (record.cells[name].strip() for name in ("image", "label"))
        faces = by_name.get(image, [])
        if not faces:
            raise ValueError(
                f"{record.source}: names an image that is in no folder of a class: unpack the copy "
                f"again, or delete the row. Received: image={image[:80]!r}"
            )
        if all(str(face.label + 1) != label for face in faces):
            raise ValueError(
                f"{record.source}: contradicts the folder of {faces[0].image}, which says "
                f"{faces[0].label + 1} ({LABELS['raf_db'][faces[0].label]}): get the copy again. "
                f"Received: label={label[:80]!r}"
            )
