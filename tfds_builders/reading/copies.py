"""Copies of published datasets that circulate as class folders, held against the official release.

    train/3/image.jpg, test/3/image.jpg     or train/fear/..., whatever the case; see `_SPLITS`
    3/image.jpg                             without splits

Images may lie up to two folders below `manual_dir` (`DATASET/train/3/...`). Where they kept their
official names, the name says which face it is and of which official split, whatever folder it lies
in. Else a face is known by its path, and nothing joins it to lists of others.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from absl import logging
from etils import epath

from ran_tf.images import decoding
from tfds_builders.reading import class_folders, doubles, folder_labels, published
from tfds_builders.reading.faces import Face
from tfds_builders.reading.held_out import with_validation

_SPLITS = {
    "train": "train",
    "training": "train",
    "train_set": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "val_set": "validation",
    "publictest": "validation",
    "test": "test",
    "test_set": "test",
    "privatetest": "test",
}
_DEPTH = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy that was read.

    Attributes:
        root: folder of the splits, or of the classes.
        layout: what it looks like, for people.
        faces: sorted by id.
    """

    root: epath.Path
    layout: str
    faces: Sequence[Face]

    @property
    def split_faces(self) -> list[Face]:
        """The faces with those of validation."""
        return with_validation(self.faces)

    def joins(self, split: str) -> bool:
        """Whether the faces of a split have their official names, by which lists name them."""
        faces = [face for face in self.faces if face.split == split]
        return bool(faces) and all(face.named for face in faces)


def find_root(manual_dir: epath.PathLike) -> epath.Path | None:
    """The folder of a copy in class folders, see `find`."""
    return find(manual_dir, is_root=_is_root)


def find(manual_dir: epath.PathLike, *, is_root: Callable[[epath.Path], bool]) -> epath.Path | None:
    """The folder of a copy: `manual_dir` or one of the two levels below it; None if there is none.

    Raises:
        ValueError: several folders of one level are copies.
    """
    level = [epath.Path(manual_dir)]
    for _ in range(_DEPTH + 1):
        roots = [folder for folder in level if is_root(folder)]
        if len(roots) > 1:
            raise ValueError(
                f"{', '.join(map(str, roots))} all hold a copy: give one of them as manual_dir. "
                f"Received: manual_dir={str(manual_dir)!r}"
            )
        if roots:
            return roots[0]
        level = [inner for folder in level for inner in class_folders.subfolders(folder)]
    return None


def read_copy(root: epath.Path, *, manual_dir: epath.PathLike, release: published.Release) -> Copy:
    """Reads a copy, and warns of what differs from the official release.

    Args:
        root: from `find_root`.
        manual_dir: that the user gave.
        release: the official one.

    Raises:
        FileNotFoundError: a folder of a class has no image.
        ValueError: a folder of no class, labels that cannot be told, a face in two places, or links
          that lead out of the copy.
    """
    folders = split_folders(root)
    if folders:
        _check_others(root, folders=folders)
    else:
        folders = {"train": root}
    labels, are_official = folder_labels.read_labels(
        {split: class_folders.subfolders(folder) for split, folder in folders.items()},
        release=release,
    )
    faces: dict[str, Face] = {}
    moved, strangers = [], []
    for split, folder in folders.items():
        class_folders.refuse_loose_images(folder, classes=release.classes)
        for inner in class_folders.subfolders(folder):
            found = class_folders.read_class(inner, manual_dir=root, split=split)
            if not found:
                raise FileNotFoundError(
                    f"{inner} holds no images: unpack the copy again, or delete the folder. "
                    f"Received: manual_dir={str(manual_dir)!r}"
                )
            for image in found:
                face = _face(image, label=labels[inner], release=release)
                if face.id in faces:
                    raise ValueError(
                        f"{face.image} and {faces[face.id].image} have the name of the same face: "
                        f"delete one of the two. Received: {face.id!r} twice"
                    )
                faces[face.id] = face
                if not face.named:
                    strangers.append(face)
                elif folder != root and _contradicts(split, face=face, folders=folders):
                    moved.append(face)
    copy = Copy(
        root=root,
        layout=_describe(folders, labels=labels, manual_dir=epath.Path(manual_dir)),
        faces=[faces[name] for name in sorted(faces)],
    )
    _warn_of_names(copy.faces, moved=moved, strangers=strangers, title=release.title)
    doubles.warn_of_doubles({f.image: f.split for f in copy.faces}, title=release.title)
    are_published = published.check_counts(copy.faces, release=release, where=root)
    if not (are_official or are_published or all(face.named for face in copy.faces)):
        raise ValueError(
            f"{root}: the folders are not numbered by the labels of {release.title}. Neither the "
            "names nor the counts of the images show which class is which: name the folders by "
            f"class ({', '.join(release.classes)}). Received: {copy.layout}"
        )
    return copy


def _is_root(folder: epath.Path) -> bool:
    """Whether a folder holds folders of classes, or of splits that do."""
    inner = class_folders.subfolders(folder) if folder.is_dir() else []
    splits = [path for path in inner if path.name.lower() in _SPLITS]
    if splits:
        inner = [path for split in splits for path in class_folders.subfolders(split)]
        return any(folder_labels.is_class(path.name) for path in inner)
    return sum(folder_labels.is_class(path.name) for path in inner) > 1


def split_folders(root: epath.Path) -> dict[str, epath.Path]:
    """The folders of splits in a folder, by split, in the order train, validation, test.

    Raises:
        ValueError: two are of one split.
    """
    folders: dict[str, epath.Path] = {}
    for folder in class_folders.subfolders(root):
        split = _SPLITS.get(folder.name.lower())
        if split in folders:
            raise ValueError(
                f"{folder} and {folders[split]} are both the split {split}: keep only one of them "
                f"in the folder. Received: {folder.name!r} beside {folders[split].name!r}"
            )
        if split:
            folders[split] = folder
    return {split: folders[split] for split in dict.fromkeys(_SPLITS.values()) if split in folders}


def _check_others(root: epath.Path, *, folders: Mapping[str, epath.Path]) -> None:
    """Refuses folders of classes beside those of splits, and tells of others with images."""
    for folder in class_folders.subfolders(root):
        if folder in folders.values():
            continue
        if folder_labels.is_class(folder.name):
            raise ValueError(
                f"{folder} is the folder of a class, but lies beside folders of splits. Two "
                f"layouts are mixed: move it away, or into its split. Received: {folder.name!r} "
                f"beside {', '.join(folder.name for folder in folders.values())}"
            )
        if class_folders.read_class(folder, manual_dir=root):
            logging.warning("%s holds images, but is neither a split nor a class: left out", folder)


def _face(image: Face, *, label: int, release: published.Release) -> Face:
    match = release.name.fullmatch(decoding.without_suffix(image.image.name))
    if not match:
        return dataclasses.replace(image, label=label)
    split = release.split(match["id"]) or image.split
    return dataclasses.replace(image, id=match["id"], split=split, label=label, named=True)


def _contradicts(split: str, *, face: Face, folders: Mapping[str, epath.Path]) -> bool:
    """Whether a face lies in the folder of a split that is not its own."""
    # Copies without a folder for validation have its faces in that of test.
    together = (split, face.split) == ("test", "validation") and "validation" not in folders
    return face.split != split and not together


def _warn_of_names(
    faces: Sequence[Face], *, moved: Sequence[Face], strangers: Sequence[Face], title: str
):
    if moved:
        logging.warning(
            "%s: the names of %d of %d images say another split than their folders, such as %s, "
            "which is of %s. The copy was reshuffled. The splits are those of the names.",
            title,
            len(moved),
            len(faces),
            moved[0].image,
            moved[0].split,
        )
    if strangers:
        logging.warning(
            "%s: %d of %d images do not have an official name, such as %s. They were renamed, "
            "added or augmented, and cannot be joined to lists of the original faces.",
            title,
            len(strangers),
            len(faces),
            strangers[0].image,
        )


def _describe(
    folders: Mapping[str, epath.Path], *, labels: Mapping[epath.Path, int], manual_dir: epath.Path
) -> str:
    names = sorted(folder.name for folder in labels)
    kind = f"{names[0]} to {names[-1]}" if names[0].isdecimal() else "named by class"
    where = ", ".join(str(folder.relative_to(manual_dir)) for folder in folders.values())
    return f"class folders {kind}" + (f" in {where}" if where != "." else "")
