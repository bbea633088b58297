"""Files of TensorFlow.js, in plain JSON and NumPy."""

import json
import math
from pathlib import Path

import numpy as np

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
    try:
        groups = json.loads(path.read_text("utf-8"))["weightsManifest"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            "`source` must be a TF.js JSON file with a `weightsManifest`. "
            f"Received: source={str(path)!r}"
        ) from None
    tensors = {}
    for group in groups:
        files = [path.parent / name for name in group["paths"]]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(
                    f"{path} keeps its weights in {file.name}, which must lie beside it. "
                    f"Received: no file {file}"
                )
        data = b"".join(file.read_bytes() for file in files)
        files = ", ".join(str(file) for file in files)
        offset = 0
        for entry in group["weights"]:
            name = entry["name"]
            if name in tensors:
                raise ValueError(f"{path}: tensor {name} is listed twice. Received: {entry}")
            tensors[name], offset = _read_tensor(entry, data, offset, files=files)
        if offset != len(data):
            raise ValueError(
                f"{files}: {len(data) - offset} bytes follow the last tensor; it is not the file "
                f"that {path.name} describes. Received: {len(data)} bytes, expected {offset}"
            )
    return tensors


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
