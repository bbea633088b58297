"""Weights of other houses, into our models.

One function a format, all in `FORMATS`. Each accounts for every tensor of its file: it is loaded,
checked against the constant it must be, or left out on purpose with a reason. Anything else that is
unused or missing is an error that lists names.

Formats:
  faceres_tfjs: `faceres.json` and its `.bin`, a TensorFlow.js graph model, as `@vladmandic/human`
    ships it (MIT): MobileNetV1, alpha 1, trained on VGGFace2 by HSE-FaceRes, BN folded.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from ran_tf.models.backbones import build_backbone


@dataclasses.dataclass(frozen=True)
class Converted:
    """A model that holds foreign weights.

    Attributes:
      model: ours, with every variable set.
      left_out: tensors of the source that have no place in the model, and why.
    """

    model: keras.Model
    left_out: Mapping[str, str]


def convert(*, source: str | Path, format: str, size: tuple[int, int] = (128, 128)) -> Converted:
    """Reads the foreign weights in `source` into a model of ours.

    Args:
      source: the file, in the layout of `format`.
      format: a key of `FORMATS`.
      size: height and width the model is built for, in pixels. It changes no weight.

    Raises:
      ValueError: unknown format, a damaged file, or tensors that are missing, unused or of another
        shape than the model's.
      FileNotFoundError: `source`, or a file that it refers to, is not there.
    """
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {sorted(FORMATS)}. Received: format={format!r}")
    return FORMATS[format](Path(source), size=size)


# -- faceres_tfjs ----------------------------------------------------------------------------------

_FACERES_HEADS = ("feats", "age_pred", "gender_pred")


def faceres_tfjs(source: Path, *, size: tuple[int, int]) -> Converted:
    """FaceRes, a TF.js graph model with folded BN, into the backbone `mobilenet_v1`.

    The file keeps, for conv1 and the pointwise convolutions, kernels with the BN's scale multiplied
    in (`conv1/convolution/merged_input`), for the depthwise ones kernel and scale side by side
    (`conv_dw_1/depthwise_kernel`, `conv_dw_1_bn/batchnorm_1/mul`), and the BN's shift for all
    (`*_bn/batchnorm_1/sub`). They become a BN of mean 0 and variance 1 that computes the same; give
    it real statistics (`ran_tf.models.reinflate`) before training.
    """
    tensors = read_tfjs(source)
    take = _Taken(tensors, source=source)
    blocks = range(1, 14)
    arrays = {}
    for conv in ["conv1", *(f"conv_{kind}_{i}" for i in blocks for kind in ("dw", "pw"))]:
        shift = take(f"{conv}_bn/batchnorm_1/sub")
        if conv.startswith("conv_dw"):
            arrays[f"{conv}/kernel"] = take(f"{conv}/depthwise_kernel")
            scale = take(f"{conv}_bn/batchnorm_1/mul")
        else:
            arrays[f"{conv}/kernel"] = take(f"{conv}/convolution/merged_input")
            scale = np.ones_like(shift)
        arrays[f"{conv}_bn/gamma"] = scale
        arrays[f"{conv}_bn/beta"] = shift
        arrays[f"{conv}_bn/moving_mean"] = np.zeros_like(shift)
        take.constant(f"{conv}_relu/Cast", 6.0)
        take.constant(f"{conv}_relu/Const_1", 0.0)
    take.constant("global_pooling/Mean/reduction_indices", [1, 2])
    left_out = {
        f"{head}/{part}": "age and gender head"
        for head in _FACERES_HEADS
        for part in ("kernel", "bias")
    }
    take.finish(left_out=left_out)

    model = build_backbone("mobilenet_v1", size=size)
    for name in [name for name in arrays if name.endswith("/moving_mean")]:
        layer = model.get_layer(name.removesuffix("/moving_mean"))
        one = np.full_like(arrays[name], 1.0 - layer.epsilon)  # so that variance + epsilon is 1
        arrays[f"{layer.name}/moving_variance"] = one
    assign_variables(model, arrays, source=source)
    return Converted(model=model, left_out=left_out)


# -- what formats share ----------------------------------------------------------------------------


class _Taken:
    """Hands out tensors by name and remembers which, so that none is lost or invented."""

    def __init__(self, tensors: Mapping[str, np.ndarray], *, source: Path):
        self._tensors = tensors
        self._source = source
        self._seen = set()
        self._missing = []

    def __call__(self, name: str) -> np.ndarray:
        self._seen.add(name)
        if name not in self._tensors:
            self._missing.append(name)  # reported together, by `finish`
            return np.zeros((0,), "float32")
        return self._tensors[name]

    def constant(self, name: str, value) -> None:
        found = self(name)
        if name in self._tensors and not np.array_equal(found, value):
            raise ValueError(
                f"{self._source}: {name} must be {value}, which our model has built in. "
                f"Received: {name}={found.tolist()}"
            )

    def finish(self, *, left_out: Mapping[str, str]) -> None:
        missing = sorted(self._missing)
        unused = sorted(set(self._tensors) - self._seen - set(left_out))
        if missing or unused:
            raise ValueError(
                f"{self._source}: its tensors are not those of this format; is it the right file? "
                f"Received: missing={missing}, unused={unused}"
            )


def assign_variables(model: keras.Model, arrays: Mapping[str, np.ndarray], *, source: Path) -> None:
    """Sets every variable of `model` from `arrays`, keyed `<layer name>/<variable name>`.

    Raises:
      ValueError: a variable without array, an array without variable, or another shape; `model` is
        then as it was.
    """
    variables = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.variables}
    missing = sorted(set(variables) - set(arrays))
    unused = sorted(set(arrays) - set(variables))
    if missing or unused:
        raise ValueError(
            f"{source}: its weights do not cover model {model.name!r}. "
            f"Received: missing={missing}, unused={unused}"
        )
    wrong = [
        f"{name} is {arrays[name].shape}, the model's {tuple(v.shape)}"
        for name, v in variables.items()
        if arrays[name].shape != tuple(v.shape)
    ]
    if wrong:
        raise ValueError(
            f"{source}: tensors of another shape than in model {model.name!r}. Received: {wrong}"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


# -- TensorFlow.js files ---------------------------------------------------------------------------

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


FORMATS: dict[str, Callable[..., Converted]] = {
    "faceres_tfjs": faceres_tfjs,
}
