"""Copies of AffectNet in the form that YOLO is trained with.

    train/images/NAME.jpg, train/labels/NAME.txt        and so for valid and test
    data.yaml                                           `names`, the class of each number

A line of a text file is `class x y width height`, the box of a face; the images of these copies are
faces already, and the box is left alone. Folders may lie up to two folders below `manual_dir`.
"""

import dataclasses
import re

from etils import epath

from tfds_builders.reading import (
    class_folders,
    copies,
    doubles,
    folder_labels,
    published,
    text_files,
)

_NAMES_FILE = "data.yaml"
_LIST = re.compile(r"^names\s*:\s*\[(?P<names>[^\]]*)\]", re.MULTILINE)
_BLOCK = re.compile(
    r"^names\s*:[ \t]*\n(?P<names>(?:[ \t]*(?:-|\d+\s*:)[^\n]*(?:\n|$))+)", re.MULTILINE
)
_BULLET = re.compile(r"^\s*(?:-|\d+\s*:)", re.MULTILINE)


def find_root(manual_dir: epath.PathLike) -> epath.Path | None:
    """The folder of a copy: `manual_dir` or one of the two levels below it; None if there is none.

    Raises:
        ValueError: several folders of one level are copies.
    """
    return copies.find(manual_dir, is_root=lambda folder: bool(_split_folders(folder)))


def read_copy(
    root: epath.Path, *, manual_dir: epath.Path, release: published.Release
) -> copies.Copy:
    """Reads a copy, and warns of what differs from the official release.

    Args:
        root: from `find_root`.
        manual_dir: that the user gave.
        release: the official one.

    Raises:
        FileNotFoundError: `data.yaml` or the text file of an image is missing.
        ValueError: one of them is not as it should be.
    """
    labels = _read_names(root, release=release)
    faces = [
        dataclasses.replace(
            face,
            label=_read_label(face.image, labels=labels),
            source=f"labels of {face.image}",
        )
        for split, folder in _split_folders(root).items()
        for face in class_folders.read_class(folder / "images", manual_dir=root, split=split)
    ]
    doubles.warn_of_doubles({face.image: face.split for face in faces}, title=release.title)
    published.check_counts(faces, release=release, where=root)
    where = root.relative_to(manual_dir)
    return copies.Copy(root=root, layout=f"labels for YOLO in {where}", faces=faces)


def _split_folders(folder: epath.Path) -> dict[str, epath.Path]:
    return {
        split: inner
        for split, inner in copies.split_folders(folder).items()
        if (inner / "images").is_dir() and (inner / "labels").is_dir()
    }


def _read_names(root: epath.Path, *, release: published.Release) -> list[int]:
    """Index of each of the copy's classes in those of the release."""
    path = root / _NAMES_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. It says which number stands for which class: get it from where "
            f"the copy is from. Received: root={str(root)!r}"
        )
    text = text_files.read_text(path)
    if match := _LIST.search(text):
        names = match["names"].split(",")
    elif match := _BLOCK.search(text):
        names = _BULLET.split(match["names"])[1:]
    else:
        names = []
    names = [name.strip().strip("'\"") for name in names]
    found = (folder_labels.class_index(name, classes=release.classes) for name in names)
    labels = [label for label in found if label is not None]
    if not names or len(set(labels)) < len(names) or any(map(str.isdecimal, names)):
        raise ValueError(
            f"{path}: `names` must list classes of {release.title} ({', '.join(release.classes)}), "
            f"each once: get the file again. Received: {', '.join(names)[:200]!r}"
        )
    return labels


def _read_label(image: epath.Path, *, labels: list[int]) -> int:
    path = image.parent.parent / "labels" / f"{image.stem}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. It holds the class of {image}: unpack the copy again, or delete "
            f"the image. Received: {image.name!r}"
        )
    lines = [line.split() for line in text_files.read_text(path).splitlines() if line.strip()]
    numbers = {line[0] for line in lines}
    if len(numbers) != 1 or not (number := numbers.pop()).isdecimal() or int(number) >= len(labels):
        raise ValueError(
            f"{path}: must give one class of 0..{len(labels) - 1} and its box: get the copy again, "
            f"or delete it and its image. Received: {[' '.join(line) for line in lines][:3]}"
        )
    return labels[int(number)]
