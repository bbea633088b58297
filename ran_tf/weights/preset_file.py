"""Files of presets, perhaps of strangers: nothing in them runs, and no size in them is believed.

    model.safetensors   float16 arrays by path of variable; vectors (biases, batch normalisations)
                        float32, whose range they need; in its metadata the card
    known_output.json   what the network says of `presets.known_faces`; for people and tests
    README.md           model card for people
    network.onnx        of packaged presets: what ONNX Runtime computes, without weights

Presets from before safetensors have weights.npz and card.json instead; they are still read.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

WEIGHTS, KNOWN, README = FILES = ("model.safetensors", "known_output.json", "README.md")
GRAPH = "network.onnx"
_OLD_WEIGHTS, _OLD_CARD = "weights.npz", "card.json"
# The one key of the metadata: several are written in an order of chance.
_CARD = "card"
# Of a card, and of the header of an array in an .npz.
MAX_TEXT, _NPY_HEADER = 2**20, 2**14


def is_preset(path: str | os.PathLike) -> bool:
    """Whether a folder or a file looks like a preset."""
    path = pathlib.Path(path)
    if path.is_dir():
        return any((path / name).is_file() for name in (WEIGHTS, _OLD_WEIGHTS))
    return path.suffix == ".safetensors" and path.is_file()


def pack(arrays: Mapping[str, np.ndarray], *, card: str) -> bytes:
    """The contents of model.safetensors."""
    return safetensors.numpy.save(dict(arrays), metadata={_CARD: card})


def read_card(path: pathlib.Path) -> str | bytes:
    """The text of a preset's card.

    Args:
      path: the folder, or its model.safetensors.

    Raises:
      FileNotFoundError: if a file of it is missing.
      ValueError: if it is damaged, has no card, or one that is longer than any.
    """
    weights = weights_of(path)
    if weights.name == _OLD_WEIGHTS:
        with (path / _OLD_CARD).open("rb") as file:
            card = file.read(MAX_TEXT + 1)
    else:
        try:
            with safetensors.safe_open(weights, framework="numpy") as file:
                card = (file.metadata() or {})[_CARD]
        except (safetensors.SafetensorError, KeyError) as error:
            raise _damaged(path, error) from error
    if len(card) > MAX_TEXT:
        raise ValueError(
            f"the card of a preset must have at most {MAX_TEXT:,} bytes. Received: {str(path)!r}"
        )
    return card


def read_arrays(
    path: pathlib.Path, *, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Reads the weights of a preset.

    Args:
      path: the folder, or its model.safetensors.
      shapes: of the arrays that it must hold, all and no others, by name.

    Returns:
      f32 arrays by name, all finite.

    Raises:
      FileNotFoundError: if they are missing.
      ValueError: if they are damaged, or others.
    """
    weights = weights_of(path)
    read = _read_npz if weights.name == _OLD_WEIGHTS else _read_safetensors
    try:
        names, found = read(weights, shapes)
        # What is finite in 64 bits may not be in 32.
        with np.errstate(over="ignore"):
            arrays: dict[str, Any] = {name: _as_float32(array) for name, array in found.items()}
    # The parsers of both formats raise whatever comes of strange bytes.
    except Exception as error:
        raise _damaged(path, error) from error
    sound = {name for name, shape in shapes.items() if _fits(arrays.get(name), shape)}
    wrong = sorted((names | shapes.keys()) - sound)
    if wrong:
        raise ValueError(
            "the weights of a preset must be finite and fit the network that its card describes; "
            f"{len(wrong)} differ: {', '.join(wrong[:5])}. Received: {str(path)!r}"
        )
    return arrays


def read_stored(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The weights of a preset in the types that they are stored in, for a graph that checks shapes.

    Args:
      path: the folder, or its model.safetensors.

    Raises:
      FileNotFoundError: if they are missing.
      ValueError: if they are damaged, or not finite.
    """
    try:
        arrays = safetensors.numpy.load_file(weights_of(path))
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error
    wrong = sorted(name for name, array in arrays.items() if not np.isfinite(array).all())
    if wrong:
        raise ValueError(
            f"the weights of a preset must be finite; {len(wrong)} are not: "
            f"{', '.join(wrong[:5])}. Received: {str(path)!r}"
        )
    return arrays


def _read_safetensors(path: pathlib.Path, shapes) -> tuple[set[str], dict[str, np.ndarray]]:
    """All names in a file, and the arrays of ours; together they have no more bytes than it."""
    with safetensors.safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        return names, {name: file.get_tensor(name) for name in names & shapes.keys()}


def _read_npz(path: pathlib.Path, shapes) -> tuple[set[str], dict[str, np.ndarray]]:
    """As `_read_safetensors`."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        # What it unpacks to, before it is unpacked; the header of an array may claim anything.
        sizes = {name: file.zip.getinfo(f"{name}.npy").file_size for name in file.files}
        most = {name: 8 * math.prod(shape) + _NPY_HEADER for name, shape in shapes.items()}
        fitting = [n for n in sizes.keys() & shapes.keys() if sizes[n] <= most[n]]
        return set(file.files), {name: file[name] for name in fitting}


def _as_float32(array) -> np.ndarray | None:
    # What is no .npy file comes as bytes.
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        return array.astype(np.float32)
    return None


def _fits(array: np.ndarray | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.shape == shape and bool(np.isfinite(array).all())


def weights_of(path: pathlib.Path) -> pathlib.Path:
    """The file with the weights of a preset: one of two names in a folder, or the path itself."""
    if path.is_file():
        return path
    old = path / _OLD_WEIGHTS
    weights = old if old.is_file() else path / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"a preset must hold {WEIGHTS}. Received: {str(path)!r}")
    return weights


def _damaged(path: pathlib.Path, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:200]
    return ValueError(
        "the weights of a preset must be a whole file of safetensors, with a card in its metadata. "
        f"Received: {str(path)!r}: {type(error).__name__}: {said}"
    )
