"""The raw files of SFEW 2.0: folders of a split with a folder for each emotion.

The archives are unpacked in several ways: `Train_Aligned_Faces/Angry/...` and
`Val_Aligned_Faces/...` (or `Val_Aligned_Faces_new/...`), the same once more inside a folder of that
name or of `Train/` and `Val/`, and the films' whole frames in `Train/Angry/...` and
`Val/Angry/...`. Any of them is found. The test labels are not public.
"""

import dataclasses
from collections.abc import Iterator

from etils import epath

from ran_tf.images import decoding
from ran_tf.vocabulary import LABELS
from tfds_builders.reading import doubles
from tfds_builders.reading.class_folders import read_class, refuse_loose_images, subfolders
from tfds_builders.reading.faces import Face

_PREFIXES = {"train": "Train", "validation": "Val"}
_MAX_DEPTH = 3
_FOLDERS = ", ".join(emotion.capitalize() for emotion in LABELS["sfew"])
_GET_SFEW = "ask for SFEW 2.0 at https://users.cecs.anu.edu.au/~few_group/AFEW.html"


def read_faces(manual_dir: epath.PathLike) -> list[Face]:
    """Reads the names of folders and files.

    Args:
        manual_dir: holds the folders of both splits.

    Returns:
        Faces of "train" and "validation", each sorted by id. The id is split, emotion and file,
        such as `train/angry/Airheads_000519240_00000005`, however the archives were unpacked; the
        label is a name in `LABELS["sfew"]`.

    Raises:
        FileNotFoundError: a split, or the folder of an emotion, is missing or empty.
        ValueError: a folder is of no emotion, a split or an emotion is there twice, or links lead
          out of `manual_dir`.
    """
    manual_dir = epath.Path(manual_dir)
    faces = [face for split in _PREFIXES for face in _read_split(manual_dir, split=split)]
    doubles.warn_of_doubles({face.image: face.split for face in faces}, title="sfew")
    return faces


def _read_split(manual_dir: epath.Path, *, split: str) -> list[Face]:
    prefix = _PREFIXES[split]
    found = list(_split_folders(manual_dir, prefix=prefix.lower(), depth=_MAX_DEPTH))
    # Where there are whole frames too, the faces are meant.
    aligned = [
        path for path in found if "aligned" in path.relative_to(manual_dir).as_posix().lower()
    ]
    found = aligned or found
    if not found:
        raise FileNotFoundError(
            f"{manual_dir} holds no {prefix}_Aligned_Faces/ (or {prefix}/) with the folders "
            f"{_FOLDERS}: unpack the archives and the archives inside them, or {_GET_SFEW}. "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{manual_dir} holds the split {split} more than once: move all but one away. "
            f"Received: {', '.join(sorted(str(path) for path in found))}"
        )
    return _read_emotions(found[0], split=split, manual_dir=manual_dir)


def _split_folders(folder: epath.Path, *, prefix: str, depth: int) -> Iterator[epath.Path]:
    """The folders of emotions' folders below one, through folders that start with a prefix."""
    for inner in subfolders(folder):
        if inner.name.lower().startswith(prefix):
            if any(path.name.lower() in LABELS["sfew"] for path in subfolders(inner)):
                yield inner
            if depth > 1:
                yield from _split_folders(inner, prefix=prefix, depth=depth - 1)


def _read_emotions(folder: epath.Path, *, split: str, manual_dir: epath.Path) -> list[Face]:
    refuse_loose_images(folder, classes=LABELS["sfew"])
    by_emotion: dict[str, list[Face]] = {}
    for inner in subfolders(folder):
        emotion = inner.name.lower()
        faces = read_class(inner, manual_dir=manual_dir, split=split)
        if emotion in by_emotion:
            raise ValueError(
                f"{inner} is a second folder of the emotion {emotion}: merge the two. Received: "
                f"{split}={str(folder)!r}"
            )
        if emotion in LABELS["sfew"]:
            by_emotion[emotion] = [_with_id(face, inner, f"{split}/{emotion}") for face in faces]
        elif faces and not inner.name.lower().startswith(_PREFIXES[split].lower()):
            raise ValueError(
                f"{inner} is not an emotion of SFEW ({_FOLDERS}): rename it, or move it away. "
                f"Received: {inner.name!r}"
            )
    for emotion in LABELS["sfew"]:
        if not by_emotion.get(emotion):
            raise FileNotFoundError(
                f"{folder / emotion.capitalize()} is missing or has no images: unpack it. "
                f"Received: {split}={str(folder)!r}"
            )
    return [face for emotion in LABELS["sfew"] for face in by_emotion[emotion]]


def _with_id(face: Face, folder: epath.Path, start: str) -> Face:
    """A face whose id does not say how the archives were unpacked."""
    path = decoding.without_suffix(face.image.relative_to(folder).as_posix())
    return dataclasses.replace(face, id=f"{start}/{path}", label=start.rpartition("/")[2])
