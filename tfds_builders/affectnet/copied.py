"""Copies of AffectNet's faces in class folders: `train/0/...`, `Train/anger/...`, `anger/...`.

Those in the form of YOLO are read by `yolo`.

Numbers are those of the expressions, words any usual spelling. A copy has neither landmarks nor
valence and arousal. Images that kept the hashed names of the original release are joined to the
authors' lists by these; nothing joins those with other names.

A table `labels.csv` comes with some. It gives many faces another class than their folder, by whom
is not published: the folder counts, and the table is not read.
"""

import dataclasses
import re

import numpy as np
from etils import epath

from tfds_builders.affectnet import face, yolo
from tfds_builders.reading import copies, published, stored_image
from tfds_builders.reading.faces import Face, by_split
from tfds_builders.reading.landmarks import UNKNOWN

RELEASE = published.Release(
    title="AffectNet",
    classes=face.EXPRESSIONS,
    numbers=(range(8), range(7), range(11)),
    name=re.compile(r"(?P<id>[0-9a-f]{56})"),
    split=lambda face_id: None,
    counts={
        "train": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750),
        "validation": (500,) * 8,
    },
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row(Face):
    """One face, as the builder takes those of the releases, too."""

    @property
    def key(self) -> str:
        return self.id

    @property
    def expression(self) -> int:
        """Index into `face.EXPRESSIONS`."""
        return self.label

    def face(self) -> dict:
        """The features of the face: its image; landmarks, valence and arousal are NaN.

        Raises:
            ValueError: the image does not decode.
        """
        image = stored_image.load_image(self.image, named_by=self.source, upright=True)
        data = image.encoded
        return {
            "image": data if isinstance(data, bytes) else face.to_jpeg(data),
            "landmarks": UNKNOWN,
            "valence": np.float32(np.nan),
            "arousal": np.float32(np.nan),
        }


def read_copy(
    manual_dir: epath.PathLike, *, release: str
) -> tuple[str, dict[str, list[Row]]] | None:
    """What a copy looks like, for people, and its faces by split; None where there is none.

    Args:
        manual_dir: that the user gave.
        release: "original" where faces are to have its hashed names, else "numbered".

    Raises:
        FileNotFoundError: a folder of a class has no image.
        ValueError: what `copies.read_copy` refuses, or names of the other release.
    """
    manual_dir = epath.Path(manual_dir)
    for form in (copies, yolo):
        root = form.find_root(manual_dir)
        if root is not None:
            copy = form.read_copy(root, manual_dir=manual_dir, release=RELEASE)
            break
    else:
        return None
    joins = copy.joins("validation")
    if joins != (release == "original"):
        raise ValueError(
            f"{root} holds a copy whose validation faces "
            + (
                "have the hashed names of the original release, which the authors' occlusion and "
                "pose lists use, too: build affectnet/original_8"
                if joins
                else "do not have the hashed names of the original release, so nothing joins them "
                "to the authors' occlusion and pose lists: build affectnet/numbered_8, which "
                "has no such features"
            )
            + f" (or _7). Received: {copy.layout}"
        )
    rows = [Row(**vars(one)) for one in copy.split_faces]
    return copy.layout, by_split(rows)
