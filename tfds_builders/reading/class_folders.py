"""Images in folders that are named by their class."""

import os
import pathlib
from collections.abc import Iterator, Sequence

from absl import logging
from etils import epath

from ran_tf.images import decoding
from tfds_builders.reading.faces import Face


def subfolders(folder: epath.Path) -> list[epath.Path]:
    """The folders in a folder, sorted by name; hidden and system ones are left out.

    Raises:
        ValueError: one is a link, by which its images would be in two places, or without end.
    """
    found = [path for path in folder.iterdir() if path.is_dir()]
    found = sorted(path for path in found if not path.name.startswith((".", "__")))
    for path in found:
        if os.path.islink(path):
            raise ValueError(
                f"{path} is a link to a folder: put the folder itself there (cp -rL copies the "
                f"targets of links). Received: a link to {os.path.realpath(path)!r}"
            )
    return found


def read_class(folder: epath.Path, *, manual_dir: epath.Path, split: str = "train") -> list[Face]:
    """The images of a class, searched in depth and sorted by id.

    Args:
        folder: named by the class.
        manual_dir: that ids start from; an id is the path without its ending.
        split: of the faces.

    Raises:
        ValueError: two images have the same path but for their ending, one is of a kind that is
          not read or has a name that is not UTF-8, or one is a link that leads out of `manual_dir`.
    """
    faces: dict[str, Face] = {}
    for path in _images_below(folder):
        _check_place(path, manual_dir=manual_dir)
        name = decoding.without_suffix(path.relative_to(manual_dir).as_posix())
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"names of images must be UTF-8: rename the file. Received: {str(path)!a}"
            ) from error
        if name in faces:
            raise ValueError(
                f"{path} and {faces[name].image.name} beside it have the same id: delete or rename "
                f"one. Received: id={name!r}"
            )
        faces[name] = Face(
            id=name,
            split=split,
            label=folder.name,
            source=f"the folder {path.parent}",
            image=path,
            named=False,
        )
    return [faces[name] for name in sorted(faces)]


def _check_place(path: epath.Path, *, manual_dir: epath.Path) -> None:
    """Raises ValueError unless an image's name leads to a file below `manual_dir`."""
    if not decoding.is_file(path):  # left out, a class would silently be smaller
        raise ValueError(
            f"{path} is neither a file nor a link to one: put the image there, or delete the "
            f"entry. Received: {os.path.realpath(path)!r}"
        )
    if not os.path.islink(path):
        return
    target = pathlib.Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(manual_dir)):
        raise ValueError(
            f"{path} is a link that leads out of {manual_dir}: put the image itself there (cp -rL "
            f"copies the targets of links). Received: a link to {str(target)!r}"
        )


def refuse_loose_images(folder: epath.Path, *, classes: Sequence[str]) -> None:
    """Raises ValueError for an image that lies in no folder of a class."""
    loose = [path for path in folder.iterdir() if is_image(path)]
    if loose:
        raise ValueError(
            f"{min(loose)} is not in the folder of a class "
            f"({', '.join(classes) or 'no class is known'}): move it into one, or away. Received: "
            f"{len(loose)} such images"
        )


def is_image(path: epath.Path) -> bool:
    """Whether a path is a visible image: by its ending, or else by its first bytes.

    Raises:
        ValueError: it is an image of a kind that is not read. Left out, a class would silently be
          smaller.
    """
    if path.name.startswith(".") or path.is_dir():
        return False
    if path.name.lower().endswith(decoding.SUFFIXES):
        return True
    if not decoding.is_file(path):  # a link that leads nowhere, too
        return False
    with path.open("rb") as file:
        kind = decoding.kind_of(file.read(decoding.HEAD_BYTES))
    if kind in decoding.NOT_READ:
        raise ValueError(
            f"{path} is an image of a kind that cannot be read: {decoding.NOT_READ[kind]}, or "
            f"move it away. Received: {kind}"
        )
    return kind is not None


def _images_below(folder: epath.Path) -> Iterator[epath.Path]:
    others = []
    for path in folder.iterdir():
        if is_image(path):
            yield path
        elif not path.is_dir() and not path.name.startswith("."):
            others.append(path.name)
    if others:
        logging.warning(
            "%s: left out %d files that are not images, such as %r",
            folder,
            len(others),
            min(others),
        )
    for inner in subfolders(folder):
        yield from _images_below(inner)


def names_of(faces: Sequence[Face], *, manual_dir: epath.Path) -> dict[str, str | None]:
    """Id by each name that a CSV may have for a face.

    The names are its id, its path below `manual_dir`, with or without its ending, and its stem
    alone; None for a stem that several faces have.
    """
    names: dict[str, str | None] = {}
    for face in faces:
        stem = decoding.without_suffix(face.image.name)
        names[stem] = None if stem in names else face.id
    for face in faces:
        path = face.image.relative_to(manual_dir)
        for name in (face.id, path.as_posix(), decoding.without_suffix(path.as_posix())):
            names[name] = face.id
    return names
