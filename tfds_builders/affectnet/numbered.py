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

from tfds_builders.affectnet import face

FOLDERS = {"train": "train_set", "validation": "val_set"}
_EXPRESSION = "_exp.npy"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


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
        data, pixels = face.read_image(path, source=str(self._path("exp")))
        height, width = pixels.shape[:2]
        return {
            "image": _jpeg(data, pixels, path=path),
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
            + ("it holds the original release, build affectnet/original_8; or " if original else "")
            + "put them there (see the README of tfds_builders/affectnet for how to get them). "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    splits = {}
    for split, name in FOLDERS.items():
        folder = manual_dir / name
        faces = sum(1 for _ in _names(folder / "annotations", suffix=_EXPRESSION))
        images = sum(1 for _ in _names(folder / "images", suffix=".jpg"))
        if images > faces:  # the other way round is named when the image is read
            raise ValueError(
                f"{folder} must hold one N{_EXPRESSION} for each image: unpack the annotations "
                f"again. Received: {images} images, {faces} expressions"
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
    try:
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing: unpack the annotations again. Received: path={str(path)!r}"
        ) from error
    except (ValueError, EOFError, OSError) as error:
        # Among them an array of objects, which could run any code: never unpickled.
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


def _jpeg(data: bytes, pixels: np.ndarray, *, path: epath.Path) -> bytes:
    if not data.startswith(_JPEG_START):  # another format under that name
        return face.to_jpeg(pixels)
    # OpenCV before 5 paints the missing part grey; TensorFlow would refuse it in mid-training.
    if _JPEG_END not in data[-1024:]:
        raise ValueError(
            f"{path} does not decode as an image, it is cut off: unpack it again. "
            f"Received: a file of {len(data)} bytes"
        )
    return data
