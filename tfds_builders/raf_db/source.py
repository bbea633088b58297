"""The raw files of RAF-DB's basic emotions, in the official layout, else as a copy.

`EmoLabel/list_patition_label.txt` (spelled so) has rows `train_00001.jpg 5`, with the label 1..7.
The images are `Image/aligned/train_00001_aligned.jpg` (100x100) and `Image/original/
train_00001.jpg`. The list is read whole and checked before the first example is written. Copies of
the aligned faces in class folders (`DATASET/train/5/train_00001_aligned.jpg`) are read where
`EmoLabel/` is missing; tables beside them, which say the same again, are not.
"""

import dataclasses
import re
from collections.abc import Sequence

from etils import epath

from ran_tf.vocabulary import LABELS
from tfds_builders.reading import copies, published, text_files
from tfds_builders.reading.faces import Face

_LABELS = ("list_patition_label.txt", "list_partition_label.txt")
_ROW = re.compile(r"(?P<id>(?P<split>train|test)_\d+)(_aligned)?\.jpg\s+(?P<label>[1-7])")
_GET_RAF_DB = "get it from http://www.whdeng.cn/RAF/model1.html"

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What `manual_dir` holds.

    Attributes:
        layout: what it looks like, for people.
        root: folder that holds `Annotation/`, if there is any.
        images: folder of the images, where a `landmarks.csv` may lie.
        faces: every face, sorted by id.
        is_copy: whether it is a copy in class folders.
        joins: whether the test faces have their official names, by which the authors' lists name
          them.
    """

    layout: str
    root: epath.Path
    images: epath.Path
    faces: Sequence[Face]
    is_copy: bool
    joins: bool


def read_source(manual_dir: epath.PathLike, *, form: str) -> Source:
    """Finds out which layout `manual_dir` has, and reads its faces.

    Args:
        manual_dir: that the user gave.
        form: "aligned" or "original".

    Raises:
        FileNotFoundError: there is no RAF-DB, or a part of it is missing.
        ValueError: a row or folder is not as it should be.
    """
    manual_dir = epath.Path(manual_dir)
    root = _find_official(manual_dir)
    if root is not None:
        faces = read_faces(root, form=form)
        published.check_counts(faces, release=RELEASE, where=root)
        return Source(
            layout=f"EmoLabel/ and Image/{form}/, as released",
            root=root,
            images=image_folder(root, form=form),
            faces=faces,
            is_copy=False,
            joins=True,
        )
    root = copies.find_root(manual_dir)
    if root is None:
        raise FileNotFoundError(
            f"{manual_dir} holds no RAF-DB: expected EmoLabel/{_LABELS[0]} and Image/ in it "
            "(officially in `basic`), or class folders train/1 to train/7 and test/1 to test/7. "
            f"Give the folder that holds them as manual_dir, or {_GET_RAF_DB}. "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    if form != "aligned":
        raise FileNotFoundError(
            f"{root} holds a copy in class folders, which has no original images: build "
            f"raf_db/aligned, or {_GET_RAF_DB}. Received: manual_dir={str(manual_dir)!r}"
        )
    copy = copies.read_copy(root, manual_dir=manual_dir, release=RELEASE)
    return Source(
        layout=copy.layout,
        root=root,
        images=root,
        faces=_require_both(copy.faces, path=root),
        is_copy=True,
        joins=copy.joins("test"),
    )


def _find_official(manual_dir: epath.Path) -> epath.Path | None:
    """The folder that holds `EmoLabel/` and `Image/`: `manual_dir`, or `basic/` in it."""
    for root in (manual_dir, manual_dir / "basic"):
        if any((root / "EmoLabel" / name).exists() for name in _LABELS):
            return root
    return None


def image_folder(root: epath.Path, *, form: str) -> epath.Path:
    """Folder of the images of a form, "aligned" or "original".

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = root / "Image" / form
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: unpack Image/{form}.zip of RAF-DB there. "
            f"Received: manual_dir={str(root)!r}"
        )
    return folder


def read_faces(root: epath.Path, *, form: str) -> Sequence[Face]:
    """Reads the list of labels.

    Args:
        root: holds `EmoLabel/` and `Image/`.
        form: "aligned" or "original".

    Returns:
        Every face, sorted by id; that is the original image's name without suffix.

    Raises:
        FileNotFoundError: the folder of the images is missing.
        ValueError: a row is malformed, doubled, or names no image.
    """
    folder = image_folder(root, form=form)
    images = {path.name for path in folder.iterdir()}
    path = next(p for name in _LABELS if (p := root / "EmoLabel" / name).exists())
    faces: dict[str, Face] = {}
    for number, line in enumerate(text_files.read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        source = f"{path}, row {number}"
        match = _ROW.fullmatch(line.strip())
        if not match:
            raise ValueError(
                f"{source}: must be an image and its label 1..{len(LABELS['raf_db'])}, such as "
                f"'train_00001.jpg 5': use the file as published. Received: row={line!r}"
            )
        name = f"{match['id']}_aligned.jpg" if form == "aligned" else f"{match['id']}.jpg"
        if name not in images:
            raise ValueError(
                f"{source}: names an image that is not in {folder}: unpack Image/{form}.zip there "
                f"again. Received: {name!r}"
            )
        face = Face(
            id=match["id"],
            split=match["split"],
            label=int(match["label"]) - 1,
            source=source,
            image=folder / name,
        )
        if face.id in faces:
            raise ValueError(
                f"{source}: repeats {face.id} of {faces[face.id].source}: delete one of the two "
                f"rows. Received: row={line!r}"
            )
        faces[face.id] = face
    return _require_both(sorted(faces.values(), key=lambda face: face.id), path=path)


def _require_both(faces: Sequence[Face], *, path: epath.Path) -> Sequence[Face]:
    counts = count(faces)
    if not all(counts.values()):
        raise ValueError(
            f"{path} must name train and test images: use the file as published. Received: {counts}"
        )
    return faces


def count(faces: Sequence[Face]) -> dict[str, int]:
    """Number of faces by official split."""
    return {split: sum(face.split == split for face in faces) for split in RELEASE.counts}
