"""One's own images: which splits and classes the folders are, and which face is in which.

`manual_dir/<split>/<class>/...` with the splits `train`, `validation` (or `val`, `valid`) and
`test`, any of them, or `manual_dir/<class>/...`, which is all `train`. Below a class, folders are
searched in depth.
"""

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence

from etils import epath

from ran_tf.checks import MAX_LABEL, is_label
from tfds_builders.reading import doubles, text_files
from tfds_builders.reading.class_folders import read_class, refuse_loose_images, subfolders
from tfds_builders.reading.faces import Face

LABELS_FILE = "labels.txt"
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
_WANTED = (
    "expected manual_dir/<split>/<class>/image.jpg with splits named train, validation and test, "
    "or manual_dir/<class>/image.jpg"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What the folders hold.

    Attributes:
        labels: names of the classes, in index order.
        faces: of the splits that are there.
    """

    labels: tuple[str, ...]
    faces: Sequence[Face]


def read_source(manual_dir: epath.PathLike) -> Source:
    """Reads the names of folders and files, and `labels.txt` where there is one.

    Raises:
        FileNotFoundError: there are no images.
        ValueError: folders that are no classes, names that are none, fewer than two classes, images
          outside them, or links that lead out of `manual_dir`.
    """
    manual_dir = epath.Path(manual_dir)
    folders = {split: subfolders(folder) for split, folder in _split_folders(manual_dir).items()}
    labels = _read_labels(manual_dir / LABELS_FILE)
    if labels is None:
        labels = _labels_of(folders)
    else:
        _check_named(folders, labels=labels, path=manual_dir / LABELS_FILE)
    if len(labels) < 2:
        raise ValueError(
            f"{manual_dir} must have folders of at least two classes: {_WANTED}. "
            f"Received: classes={list(labels)}"
        )
    faces: list[Face] = []
    for split, classes in folders.items():
        before = len(faces)
        for folder in classes:
            faces += read_class(folder, manual_dir=manual_dir, split=split)
        if len(faces) == before:
            raise FileNotFoundError(
                f"{manual_dir} holds no images for the split {split}: {_WANTED}. "
                f"Received: manual_dir={str(manual_dir)!r}"
            )
    doubles.warn_of_doubles({face.image: face.split for face in faces}, title="folder_faces")
    return Source(labels=labels, faces=faces)


def _split_folders(manual_dir: epath.Path) -> dict[str, epath.Path]:
    """Folder by split; loose images and unknown folders raise."""
    tops = subfolders(manual_dir)
    splits: dict[str, epath.Path] = {}
    others = []
    for top in tops:
        split = _SPLITS.get(top.name.lower())
        if split is None:
            others.append(top)
        elif split in splits:
            raise ValueError(
                f"{top} and {splits[split]} are both the split {split}: merge them. Received: "
                f"manual_dir={str(manual_dir)!r}"
            )
        else:
            splits[split] = top
    if not splits:
        splits = {"train": manual_dir}
    else:
        refuse_loose_images(manual_dir, classes=())
        for other in others:
            if read_class(other, manual_dir=manual_dir):
                raise ValueError(
                    f"{other} is not a split, but lies beside the split "
                    f"{next(iter(splits.values())).name}: {_WANTED}. Move it away. Received: "
                    f"manual_dir={str(manual_dir)!r}"
                )
    for folder in splits.values():
        refuse_loose_images(folder, classes=[path.name for path in subfolders(folder)])
    return {split: splits[split] for split in dict.fromkeys(_SPLITS.values()) if split in splits}


def _read_labels(path: epath.Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    rows: dict[str, int] = {}
    for number, line in enumerate(text_files.read_text(path).splitlines(), start=1):
        name = line.strip()
        if name in rows:
            raise ValueError(
                f"{path}, row {number}: repeats row {rows[name]}: delete one of the two. "
                f"Received: {name!r}"
            )
        if name:
            rows[name] = number
    _check_names({name: f"{path}, row {number}" for name, number in rows.items()})
    return tuple(rows)


def _check_named(
    folders: Mapping[str, Sequence[epath.Path]], *, labels: Sequence[str], path: epath.Path
):
    for folder in (folder for classes in folders.values() for folder in classes):
        if folder.name not in labels:
            raise ValueError(
                f"{folder} has the name of no class in {path} ({', '.join(labels)}): rename the "
                f"folder, or add a row. Received: {folder.name!r}"
            )


def _labels_of(folders: Mapping[str, Sequence[epath.Path]]) -> tuple[str, ...]:
    """Class names from folders: those of train where there is one, sorted."""
    first = "train" if "train" in folders else next(iter(folders))
    labels = {folder.name: str(folder) for folder in folders[first]}
    _check_names(labels)
    for split, classes in folders.items():
        for folder in classes:
            # Another spelling would silently be another class.
            if folder.name not in labels:
                raise ValueError(
                    f"{folder} ({split}) is not a class of {first} ({', '.join(sorted(labels))}): "
                    f"rename it, or list all classes in {LABELS_FILE}, one a line. Received: "
                    f"{folder.name!r}"
                )
    return tuple(sorted(labels))


def _check_names(sources: Mapping[str, str]) -> None:
    """Checks names of classes, each with what names it so; people must tell them apart."""
    alike: dict[str, str] = {}
    for name, source in sources.items():
        if not is_label(name):
            raise ValueError(
                f"{source}: the name of a class must be one line of at most {MAX_LABEL} "
                "characters, without spaces around it or control characters: change it. "
                f"Received: {name[:MAX_LABEL]!r}"
            )
        looks = unicodedata.normalize("NFC", name).casefold()
        if looks in alike:
            raise ValueError(
                f"{source}: differs from {sources[alike[looks]]} only in capitals, or in how "
                f"accents are encoded: use one name for both. Received: {name!r}"
            )
        alike[looks] = name
