"""Reads one PyTorch checkpoint: the process that `torch_file` starts, with PyTorch and no Keras.

    python torch_child.py SOURCE OUT.npz

Writes `header` (JSON: names, beside) and the tensors as t0, t1, ...
"""

import json
import os
import re
import sys

import numpy as np


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint into {"header": JSON, "t0": array, ...}.

    Raises:
      ValueError: for whatever is wrong with the file.
      ImportError: without PyTorch.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Any exception may come out of a parser of damaged bytes.
    except Exception as error:
        raise ValueError(_first_line(error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__}, not a dict")
    beside = []
    if isinstance(content.get("state_dict"), dict):
        beside = sorted(str(key) for key in content if key != "state_dict")
        content = content["state_dict"]
    if not content:
        raise ValueError("holds an empty state dict")
    arrays, size = {}, 0
    for i, (name, tensor) in enumerate(content.items()):
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{name!r} is a {type(tensor).__name__}, not a tensor")
        size += _checked_bytes(name, tensor)
        # A tensor may repeat one number a billion times by its strides.
        if size > os.path.getsize(path):
            raise ValueError(f"the tensors up to {name!r} take {size} bytes, more than the file")
        arrays[f"t{i}"] = _to_numpy(name, tensor)
    header = {"names": list(content), "beside": beside}
    return {"header": np.array(json.dumps(header)), **arrays}


def _checked_bytes(name: str, tensor) -> int:
    import torch

    dense = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.is_quantized or tensor.is_complex():
        raise ValueError(
            f"{name!r} must be a dense tensor of real numbers. Received: layout={tensor.layout}, "
            f"device={tensor.device}, dtype={tensor.dtype}"
        )
    return tensor.numel() * tensor.element_size()


def _to_numpy(name: str, tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not tensor.isfinite().all():
            raise ValueError(f"{name!r} holds numbers that are not finite")
    return np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape))


def _first_line(error: Exception) -> str:
    """What went wrong, without PyTorch's advice to load the file unsafely."""
    text = str(error)
    refused = re.search(r"[Uu]nsupported (?:global: GLOBAL|GLOBAL|class) (\S+)", text)
    if refused:
        return (
            f"it asks for {refused[1]}. That is more than tensors and plain data and might run "
            "code. If you trust the file, save only its state dict, where the file was made"
        )
    inner = re.search(r"WeightsUnpickler error: *(.+)", text)
    lines = (inner[1] if inner else text).strip().splitlines() or ["no message"]
    return f"it is damaged or another kind of file ({type(error).__name__}: {lines[0][:120]})"


if __name__ == "__main__":
    np.savez(sys.argv[2], **read_checkpoint(sys.argv[1]))
