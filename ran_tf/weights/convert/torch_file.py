"""Checkpoints of `torch.save`, zip and legacy format, as NumPy arrays.

They are read in a process of their own (`torch_child`): a parser that crashes on a damaged file
takes nothing with it, and PyTorch never shares a process with the Keras backend.
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ran_tf.safety import reader_process

_CHILD = Path(__file__).with_name("torch_child.py")
# What `torch.nn.DataParallel` puts before every name.
_PREFIX = "module."


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """What a checkpoint holds.

    Attributes:
      tensors: its state dict without `module.` prefixes; floating point as float32.
      beside: what training kept beside the state dict, such as the optimizer: name and reason to
        leave it out.
    """

    tensors: Mapping[str, np.ndarray]
    beside: Mapping[str, str]


def read_torch(path: str | Path) -> TorchFile:
    """Reads a state dict, bare or under the key "state_dict".

    Nothing in the file can run code: it is unpickled with `weights_only=True`, which knows tensors
    and plain containers only.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a damaged file, one that asks for anything but tensors and plain data, or one
        without a state dict of dense, finite tensors.
      RuntimeError: PyTorch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`source` must be a PyTorch checkpoint. Received: source={str(path)!r}"
        )
    with tempfile.TemporaryDirectory(prefix="ran_tf_torch_") as folder:
        out = Path(folder) / "tensors.npz"
        try:
            reader_process.read_in_child(_CHILD, path, out)
        except reader_process.ReaderError as error:
            _raise(path, error)
        with np.load(out, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            tensors = {name: arrays[f"t{i}"] for i, name in enumerate(header["names"])}
    return TorchFile(
        tensors=_without_prefix(tensors, source=path),
        beside=dict.fromkeys(header["beside"], "not a weight; training stored it in the same file"),
    )


def _raise(path: Path, error: reader_process.ReaderError):
    if error.report.get("not_installed"):
        raise RuntimeError(
            "PyTorch checkpoints are read with PyTorch, which is not installed: "
            f"pip install 'ran_tf[torch]'. Received: {error}"
        ) from error
    raise ValueError(
        "`source` must be a whole file of torch.save with a state dict of plain tensors. "
        f"Received: source={str(path)!r}: {error}"
    ) from error


def _without_prefix(tensors: dict[str, np.ndarray], *, source: Path) -> dict[str, np.ndarray]:
    renamed = {name.removeprefix(_PREFIX): array for name, array in tensors.items()}
    if len(renamed) != len(tensors):
        twice = sorted(n for n in tensors if n.startswith(_PREFIX) and n[len(_PREFIX) :] in tensors)
        raise ValueError(
            f"{source}: each tensor must be there only once, with or without the prefix "
            f"{_PREFIX!r}. Received: {twice}"
        )
    return renamed
