"""Files of TensorFlow.js, in plain JSON and NumPy."""

import math
from pathlib import Path

import numpy as np

from ran_tf.safety import files

_TFJS_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1"}
_TFJS_DTYPES["bool"] = "?"


def read_tfjs(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a TensorFlow.js model: a JSON file and the binary files that it names.

    `weightsManifest` is a list of groups; the files of a group, joined, hold its tensors end to
    end, little-endian. Quantised tensors are stored as float16, or as uint8 or uint16 with
    `value = stored * scale + min`, and are returned in the dtype that they had.

    Raises:
      FileNotFoundError: the JSON file or one that it names is not there.
      ValueError: not such a JSON file, an unknown dtype, a tensor listed twice, or a binary file
        that is too short or too long.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`source` must be the .json file of a TF.js model. Received: source={str(path)!r}"
        )
    groups = files.read_json(path, keys=("weightsManifest",))["weightsManifest"]
    _check_manifest(groups, path=path)
    tensors = {}
    for group in groups:
        parts = [path.parent / name for name in group["paths"]]
        for file in parts:
            if not file.is_file():
                raise FileNotFoundError(
                    f"{path} keeps its weights in {file.name}, which must lie beside it. "
                    f"Received: no file {file}"
                )
        data = b"".join(file.read_bytes() for file in parts)
        named = ", ".join(str(file) for file in parts) or str(path)
        offset = 0
        for entry in group["weights"]:
            name = entry["name"]
            if name in tensors:
                raise ValueError(f"{path}: tensor {name} is listed twice. Received: {entry}")
            tensors[name], offset = _read_tensor(entry, data, offset, files=named)
        if offset != len(data):
            raise ValueError(
                f"{named}: {len(data) - offset} bytes follow the last tensor; this is not the "
                f"file that {path.name} describes. Received: {len(data)} bytes, expected {offset}"
            )
    return tensors


def _check_manifest(groups, *, path: Path) -> None:
    """Raises ValueError unless names, shapes and dtypes are of their kinds, and files lie beside.

    A name such as ../x would lead to other files.
    """
    try:
        names = [name for group in groups for name in group["paths"]]
        entries = [entry for group in groups for entry in group["weights"]]
        sound = all(isinstance(name, str) and Path(name).name == name for name in names)
        for entry in entries:
            how = entry.get("quantization") or {}
            texts = (entry["name"], entry["dtype"], how.get("dtype", ""))
            sides, numbers = entry["shape"], (how.get("scale", 0), how.get("min", 0))
            sound &= all(isinstance(text, str) for text in texts)
            sound &= all(type(side) is int and 0 <= side < 2**31 for side in sides)
            sound &= all(type(number) in (int, float) for number in numbers)
            sound &= ("scale" in how) == ("min" in how)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} must be a TF.js JSON file with a `weightsManifest` of paths and weights. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    if not sound:
        raise ValueError(
            f"{path} must list, in its `weightsManifest`, names of files that lie beside it and "
            "tensors with name, dtype and shape. Received: something else"
        )


def _read_tensor(entry: dict, data: bytes, offset: int, *, files: str) -> tuple[np.ndarray, int]:
    """The tensor of a manifest entry that starts at `offset`, and where the next one starts."""
    quantization = entry.get("quantization") or {}
    stored = quantization.get("dtype", entry["dtype"])
    if stored not in _TFJS_DTYPES or entry["dtype"] not in _TFJS_DTYPES:
        raise ValueError(
            f"{files}: tensor {entry['name']} must have a dtype of {sorted(_TFJS_DTYPES)}. "
            f"Received: dtype={entry['dtype']!r}, stored as {stored!r}"
        )
    dtype = np.dtype(_TFJS_DTYPES[stored])
    count = math.prod(entry["shape"])
    end = offset + count * dtype.itemsize
    if end > len(data):
        raise ValueError(
            f"{files}: cut short at tensor {entry['name']}; download it again. "
            f"Received: {len(data)} bytes, at least {end} expected"
        )
    array = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
    if "scale" in quantization:
        array = array * np.float64(quantization["scale"]) + np.float64(quantization["min"])
        if entry["dtype"] == "int32":
            array = np.round(array)
    return array.astype(np.dtype(_TFJS_DTYPES[entry["dtype"]]).newbyteorder("=")), end
