"""A prepared dataset in a folder of plain files, for machines with neither TensorFlow nor TFDS.

FOLDER/faces.json    {"format": 1, "name", "full_name", "labels", "framing": {"margin", "drop"} or
                     null, "splits": {SPLIT: {"faces", "sha256", "shards": [faces of each file
                     that TFDS had]}}}
FOLDER/SPLIT.npz     image_deltas u8[n, H, W, C] (see `deltas`), label i64[n], id S[n], and where
                     the dataset has them votes f32[n, classes], landmarks f32[n, 5, 2],
                     occlusion i64[n], pose_30 and pose_45 bool[n]; label_marks and vote_marks
                     i64[n]: the numbers that `reader.Decoder.marks` gives with each target

Faces lie in the order of TFDS' files. `pack` writes such a folder; it may come from a stranger.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from ran_tf import vocabulary
from ran_tf.config import DataConfig
from ran_tf.data import dataset as dataset_lib
from ran_tf.data import order, split_expression
from ran_tf.data.dataset import DamagedDatasetError, check_target
from ran_tf.data.split_expression import Piece
from ran_tf.faces import framing
from ran_tf.safety import files
from ran_tf.weights.card import check_labels

FORMAT, INDEX = 1, "faces.json"

# Of what a stranger's folder may ask for: faces of a split, pixels of a side, bytes of an array.
_MAX_FACES, _MAX_SIDE, _MAX_BYTES = 10**8, 4096, 2**36
_MAX_INDEX_BYTES, _NPY_HEADER = 2**24, 2**12
_SPLIT = re.compile(r"\w[\w-]{0,63}", re.ASCII)
_NAME = re.compile(r"\w+(/[\w.-]+){0,2}", re.ASCII)


def is_packed(folder: str | os.PathLike | None) -> bool:
    """Whether a folder holds packed faces."""
    return folder is not None and (pathlib.Path(folder).expanduser() / INDEX).is_file()


def deltas(image: np.ndarray) -> np.ndarray:
    """What is left of faces u8[n, H, W, C] when their left and upper neighbours are taken off.

    Modulo 256: of smooth pictures mostly small numbers, which Zip makes a quarter smaller.
    """
    return np.diff(np.diff(image, axis=2, prepend=np.uint8(0)), axis=1, prepend=np.uint8(0))


def undo_deltas(image: np.ndarray) -> np.ndarray:
    """The faces of their `deltas`, in place."""
    np.cumsum(image, axis=1, dtype=np.uint8, out=image)
    return np.cumsum(image, axis=2, dtype=np.uint8, out=image)


@dataclasses.dataclass(frozen=True)
class Split:
    """What faces.json says of a split.

    Attributes:
      shards: faces of each file that TFDS had.
      sha256: of its file here.
    """

    shards: tuple[int, ...]
    sha256: str

    @property
    def faces(self) -> int:
        return sum(self.shards)


@dataclasses.dataclass(frozen=True)
class Dataset(dataset_lib.Dataset):
    """Packed faces, see `dataset.Dataset`; a split is read when it is first asked for.

    Attributes:
      folder: of the files.
      name, full_name, labels: see `dataset.Dataset`.
      splits: by name.
      cut: how faces were cut out of photos.
    """

    folder: pathlib.Path
    name: str
    full_name: str
    labels: tuple[str, ...]
    splits: Mapping[str, Split]
    cut: framing.Framing | None
    _kept: dict = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def split_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.splits)

    def pieces(self, split: str) -> list[Piece]:
        shards = {name: known.shards for name, known in self.splits.items()}
        return split_expression.pieces(split, shards=shards)

    def has_landmarks(self, split: str) -> bool:
        points = self.read(split, names=("landmarks",)).get("landmarks")
        return points is not None and bool(np.isfinite(points).any())

    def colour(self, data: DataConfig) -> str:
        faces = self.read(data.train_split, names=("image",))["image"]
        return "rgb" if (faces != faces[..., :1]).any() else "grey"

    def framing(self) -> framing.Framing | None:
        return self.cut

    def damage_explained(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()  # they are read whole, and looked at then

    def read(self, split: str, *, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Arrays of the faces of a split expression, in the order in which TFDS reads them.

        Those that the dataset lacks are left out; `image` is u8[n, H, W, C].

        Raises:
          ValueError: for an unknown split.
          DamagedDatasetError: for a file that is missing, altered or no such file.
        """
        self.size(split)
        pieces = self.pieces(split)
        turns = order.in_turns([piece.take for piece in pieces])
        parts = [self._of_piece(piece) for piece in pieces]
        known = set.intersection(*(set(part) for part in parts)) if parts else set()
        return {
            name: np.concatenate([part[name] for part in parts])[turns]
            for name in names
            if name in known
        }

    def _of_piece(self, piece: Piece) -> dict[str, np.ndarray]:
        first = sum(self.splits[piece.split].shards[: int(piece.file)]) + piece.skip
        arrays = self.arrays(piece.split)
        return {name: array[first : first + piece.take] for name, array in arrays.items()}

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """All that is known of the faces of a split, in the order of TFDS' files."""
        if split not in self._kept:
            known = self.splits[split]
            self._kept[split] = _read_split(
                self.folder / f"{split}.npz",
                faces=known.faces,
                sha256=known.sha256,
                classes=len(self.labels),
            )
        return self._kept[split]


def open_packed(data: DataConfig) -> Dataset:
    """Opens the packed faces in `data.data_dir`.

    Raises:
      ValueError: if they are of another dataset than `data.name`, or have no votes to learn.
      DamagedDatasetError: if faces.json is none.
    """
    folder = pathlib.Path(data.data_dir or "").expanduser()
    opened = _read_index(folder)
    if data.name not in (opened.name, opened.name.partition("/")[0], opened.full_name):
        raise ValueError(
            f"`dataset` must be {opened.name!r}, whose packed faces lie in "
            f"data_dir={data.data_dir!r}. Received: dataset={data.name!r}"
        )
    known = vocabulary.LABELS.get(opened.name.partition("/")[0])
    if known and opened.labels[: len(known)] != known[: len(opened.labels)]:
        raise ValueError(
            f"the emotion order of the packed faces in {str(folder)!r} is not that of "
            f"ran_tf.LABELS; pack them again. Received: {opened.labels}, expected {known}"
        )
    if data.target == "votes":
        check_target(data, has_votes=all("votes" in opened.arrays(name) for name in opened.splits))
    return opened


def _read_index(folder: pathlib.Path) -> Dataset:
    path = folder / INDEX
    with _refused(path):
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise ValueError(f"more than {_MAX_INDEX_BYTES:,} bytes")
        found = files.read_json(
            path, keys=("format", "name", "full_name", "labels", "framing", "splits")
        )
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']!r}, but this version reads format {FORMAT}")
        for name in ("name", "full_name"):
            if not _NAME.fullmatch(found[name]):
                raise ValueError(f"{name} {found[name]!r}")
        labels = tuple(found["labels"])
        check_labels("labels", labels)
        splits = {name: _split(name, said) for name, said in found["splits"].items()}
        if not splits:
            raise ValueError("no splits")
        cut = found["framing"]
        return Dataset(
            folder=folder,
            name=found["name"],
            full_name=found["full_name"],
            labels=labels,
            splits=splits,
            cut=None if cut is None else framing.parse(cut, source=str(path)),
        )


def _split(name: str, said: dict) -> Split:
    shards = said["shards"]
    whole = all(type(faces) is int and faces >= 0 for faces in shards)
    # It becomes the name of a file.
    if not _SPLIT.fullmatch(name) or not whole or not 0 < sum(shards) <= _MAX_FACES:
        raise ValueError(f"a split {name!r} with files of {str(shards)[:100]} faces")
    return Split(shards=tuple(shards), sha256=str(said["sha256"]))


def _read_split(
    path: pathlib.Path, *, faces: int, sha256: str, classes: int
) -> dict[str, np.ndarray]:
    with _refused(path):
        if files.sha256(path) != sha256:
            raise ValueError("its checksum is not the one in faces.json")
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            _check_members(archive, members, faces=faces, classes=classes)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in members}
        if found["label"].min() < 0 or found["label"].max() >= classes:
            raise ValueError(f"labels that are not in 0..{classes - 1}")
    found["image"] = undo_deltas(found.pop("image_deltas"))
    return found


def _check_members(archive, members: dict[str, str], *, faces: int, classes: int) -> None:
    """Raises ValueError unless the headers say what a split has; nothing is unpacked before."""
    one = (faces,)
    forms = {
        "label": ("<i8", one),
        "votes": ("<f4", (faces, classes)),
        "landmarks": ("<f4", (faces, len(vocabulary.LANDMARKS), 2)),
        "occlusion": ("<i8", one),
        "pose_30": ("|b1", one),
        "pose_45": ("|b1", one),
        "label_marks": ("<i8", one),
        "vote_marks": ("<i8", one),
    }
    needed = {"image_deltas", "label", "id", "label_marks"}
    if needed - set(members) or set(members) - set(forms) - needed:
        raise ValueError(f"wrong set of arrays: {str(sorted(members))[:400]}")
    if ("votes" in members) != ("vote_marks" in members):
        raise ValueError("the arrays votes and vote_marks must be there together")
    for name, member in members.items():
        with archive.open(member) as file:
            shape, dtype = _read_header(file)
        if name == "image_deltas":
            sides = len(shape) == 4 and shape[3] in (1, 3) and max(shape[1:3]) <= _MAX_SIDE
            fits = dtype == np.uint8 and sides and shape[0] == faces and min(shape) > 0
        elif name == "id":
            fits = dtype.kind == "S" and shape == one and dtype.itemsize <= 1024
        else:
            fits = (dtype.str, shape) == forms[name]
        size = math.prod(shape) * dtype.itemsize
        unpacked = archive.getinfo(member).file_size
        if not fits or size > _MAX_BYTES or not size <= unpacked <= size + _NPY_HEADER:
            raise ValueError(f"an array {name} of {dtype}{list(shape)} in {unpacked:,} bytes")


def _read_header(file) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"a .npy file of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype


@contextlib.contextmanager
def _refused(path: pathlib.Path) -> Iterator[None]:
    """The parsers of strange bytes raise whatever comes of them."""
    try:
        yield
    except Exception as error:
        raise DamagedDatasetError(
            f"{path} must be a file of packed faces as `python -m ran_tf.launch.pack` writes it: "
            f"copy or pack them again. Received: {type(error).__name__}: {str(error)[:300]}"
        ) from error
