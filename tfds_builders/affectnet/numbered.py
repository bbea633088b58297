"""The numbered release: faces cut out already, one file for each number that is known of them.

    train_set/images/N.jpg, val_set/images/N.jpg
    .../annotations/N_exp.npy (expression), N_val.npy, N_aro.npy, N_lnd.npy (68 points, flat)

The published arrays hold text ("1", "0.345") as well as numbers. Folders are read name by name, so
memory does not grow with them.
"""

import dataclasses
import io
import os
from collections.abc import Iterator

import numpy as np
from etils import epath

from ran_tf.images import decoding
from tfds_builders.affectnet import face
from tfds_builders.reading import stored_image

FOLDERS = {"train": "train_set", "validation": "val_set"}
_EXPRESSION = "_exp.npy"
# Of one annotation; the longest that is published, 136 numbers as text, has some 10,000.
_MAX_BYTES = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One face; its files are not read yet.

    Attributes:
        folder: `train_set` or `val_set`.
        number: its N.
    """

    folder: epath.Path
    number: str

    @property
    def id(self) -> str:
        return f"{self.folder.name}/{self.number}"

    @property
    def key(self) -> str:
        return self.id

    @property
    def expression(self) -> int:
        """Index into `face.EXPRESSIONS`."""
        path = self._path("exp")
        return face.parse_expression(_scalar(path), source=str(path))

    def face(self) -> dict:
        """The features of the face: its image, landmarks, valence and arousal.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file does not hold what it should.
        """
        points = _floats(self._path("lnd"), size=2 * face.POINTS).reshape(face.POINTS, 2)
        path = self.folder / "images" / f"{self.number}.jpg"
        # As stored: landmarks are those of pixels that no EXIF data have turned.
        data, pixels = stored_image.read(path, named_by=str(self._path("exp")), upright=False)
        height, width = pixels.shape[:2]
        return {
            "image": data if decoding.kind_of(data) == "JPEG" else face.to_jpeg(pixels),
            "landmarks": face.five_landmarks(points, width=width, height=height),
            "valence": np.float32(_floats(self._path("val"), size=1)[0]),
            "arousal": np.float32(_floats(self._path("aro"), size=1)[0]),
        }

    def _path(self, annotation: str) -> epath.Path:
        return self.folder / "annotations" / f"{self.number}_{annotation}.npy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The faces of one split, listed anew in every pass, in no order.

    Attributes:
        folder: `train_set` or `val_set`.
        count: number of faces.
    """

    folder: epath.Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Row]:
        for name in _names(self.folder / "annotations", suffix=_EXPRESSION):
            yield Row(folder=self.folder, number=name.removesuffix(_EXPRESSION))


def is_there(manual_dir: epath.PathLike) -> bool:
    """Whether any part of this release lies in `manual_dir`."""
    folders = (epath.Path(manual_dir) / name for name in FOLDERS.values())
    return any((folder / part).is_dir() for folder in folders for part in ("images", "annotations"))


def find_splits(manual_dir: epath.PathLike) -> dict[str, Rows]:
    """The splits of the release below `manual_dir`.

    Raises:
        FileNotFoundError: a folder is not there.
        ValueError: there are images without annotations.
    """
    manual_dir = epath.Path(manual_dir)
    missing = [
        f"{name}/{part}/"
        for name in FOLDERS.values()
        for part in ("images", "annotations")
        if not (manual_dir / name / part).is_dir()
    ]
    if missing:
        original = any(manual_dir.glob("Manually_Annotated*"))
        raise FileNotFoundError(
            f"{manual_dir} lacks {', '.join(missing)} of AffectNet's numbered release: "
            + ("it holds the original release: build affectnet/original_8, or " if original else "")
            + "put them there (see the README of tfds_builders/affectnet for how to get them). "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    splits = {}
    for split, name in FOLDERS.items():
        folder = manual_dir / name
        faces = sum(1 for _ in _names(folder / "annotations", suffix=_EXPRESSION))
        pictures = sum(1 for _ in _names(folder / "images", suffix=".jpg"))
        if pictures > faces:  # the other way round is named when the image is read
            raise ValueError(
                f"{folder} must hold one N{_EXPRESSION} for each image: unpack the annotations "
                f"again. Received: {pictures} images, {faces} expressions"
            )
        splits[split] = Rows(folder=folder, count=faces)
    return splits


def _names(folder: epath.Path, *, suffix: str) -> Iterator[str]:
    if os.path.isdir(folder):
        # Not `iterdir`, which lists the folder whole: annotations/ holds four files a face.
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.name.endswith(suffix))
    else:  # a bucket
        yield from (path.name for path in folder.iterdir() if path.name.endswith(suffix))


def _load(path: epath.Path) -> np.ndarray:
    if not decoding.is_file(path):
        raise FileNotFoundError(
            f"{path} is missing: unpack the annotations again. Received: path={str(path)!r}"
        )
    try:
        if path.stat().length > _MAX_BYTES:
            raise ValueError(f"{path.stat().length:,} bytes")
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        # Among them an array of objects, which could run any code: never unpickled; and one that
        # claims more than memory.
        raise ValueError(
            f"{path} must be a plain NumPy array of numbers or text: unpack the annotations "
            f"again, or save it as one. Received: {error}"
        ) from error


def _scalar(path: epath.Path) -> str:
    array = _load(path)
    if array.size != 1:
        raise ValueError(
            f"{path} must hold one value: unpack the annotations again. "
            f"Received: shape={array.shape}"
        )
    return str(array.item())


def _floats(path: epath.Path, *, size: int) -> np.ndarray:
    array = _load(path)
    try:
        numbers = array.astype(np.float64).ravel()
    except (ValueError, TypeError):
        numbers = np.array([])
    if numbers.size != size or not np.isfinite(numbers).all():
        raise ValueError(
            f"{path} must hold {size} number{'s' if size > 1 else ''}: unpack the annotations "
            f"again. Received: shape={array.shape}, dtype={array.dtype}, "
            f"values={array.ravel()[:4]!s}"
        )
    return numbers
