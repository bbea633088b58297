"""PyTorch files: every form they have, and what is no checkpoint, damaged or hostile."""

import os
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

from ran_tf.weights.convert import convert
from ran_tf.weights.convert.torch_child import read_checkpoint
from ran_tf.weights.convert.torch_file import read_torch

torch = pytest.importorskip("torch", reason="PyTorch is the extra `torch`")

FORMATS = {"zip": True, "legacy": False}


def state_dict():
    draw = torch.Generator().manual_seed(0)
    base = torch.randn(4, 5, generator=draw)
    return {
        "conv1.weight": torch.randn(2, 3, 1, 1, generator=draw),
        "fc.weight": base.T,  # strides of its own
        "fc.bias": base[1, 2:],  # a view with an offset
        "half": torch.randn(3, generator=draw).to(torch.bfloat16),
        "bn1.num_batches_tracked": torch.tensor(7),
    }


def save(content, path, *, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_holds_state_dict(tensors):
    expected = {name: tensor.float().numpy() for name, tensor in state_dict().items()}
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].shape == array.shape
    assert tensors["half"].dtype == "float32"


@pytest.mark.parametrize(
    ("zipped", "wrapped", "prefix"),
    [(True, True, "module."), (False, True, "module."), (True, False, "")],
)
def test_every_form_is_read(zipped, wrapped, prefix, tmp_path):
    content = {prefix + name: tensor for name, tensor in state_dict().items()}
    if wrapped:
        momentum = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
        content = {
            "epoch": 40,
            "best_prec1": torch.tensor(88.5),
            "state_dict": content,
            "optimizer": momentum,
        }
    file = read_torch(save(content, tmp_path / "-x.pth.tar", zipped=zipped))
    assert_holds_state_dict(file.tensors)
    assert set(file.beside) == ({"epoch", "best_prec1", "optimizer"} if wrapped else set())


class OldPickler(pickle._Pickler):
    """Writes as PyTorch 0.3 under Python 2 did: byte strings, and tensors by `_rebuild_tensor`."""

    def save_str(self, text):
        self.write(pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode())
        self.memoize(text)

    def old_tensor(tensor):
        storage = torch.storage.TypedStorage(
            wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
        )
        arguments = (storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        return torch._utils._rebuild_tensor, arguments

    dispatch = {**pickle._Pickler.dispatch, str: save_str}  # noqa: RUF012
    dispatch_table = {torch.Tensor: old_tensor}  # noqa: RUF012


def test_files_of_the_papers_time_are_read(tmp_path):
    old = types.SimpleNamespace(Pickler=OldPickler, dump=pickle.dump, __name__="pickle")
    content = state_dict()
    del content["half"]  # not there at the time
    path = tmp_path / "old.pth.tar"
    torch.save(
        {"state_dict": content, "arch": "resnet18"},
        path,
        pickle_module=old,
        _use_new_zipfile_serialization=False,
    )
    data = path.read_bytes()
    assert b"_rebuild_tensor\n" in data and b"U\x0cconv1.weight" in data  # it is old
    file = read_torch(path)
    for name, tensor in content.items():
        np.testing.assert_array_equal(file.tensors[name], tensor.numpy())


class Hostile:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(("zipped", "place"), [(True, "beside"), (False, "inside")], ids=FORMATS)
def test_nothing_runs(zipped, place, tmp_path):
    mark = tmp_path / "mark"
    content = {"state_dict": state_dict()}
    hostile = Hostile(os.system, f"touch {mark}")
    (content if place == "beside" else content["state_dict"])["x"] = hostile
    path = save(content, tmp_path / "x.pth", zipped=zipped)
    with pytest.raises(ValueError, match=r"Received: source=.*asks for posix\.system") as caught:
        read_torch(path)
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # it would have run


WRONG = {
    "a list": (lambda: [torch.ones(2)], "holds a list, not a dict"),
    "a tensor": (lambda: torch.ones(2), "holds a Tensor, not a dict"),
    "empty": (lambda: {"state_dict": {}}, "an empty state dict"),
    "a number": (lambda: {"a": torch.ones(2), "epoch": 3}, "'epoch' is a int, not a tensor"),
    "a numbered": (lambda: {0: torch.ones(2)}, "0 is a Tensor"),
    "sparse": (lambda: {"a": torch.eye(9).to_sparse()}, "'a' must be a dense tensor"),
    "meta": (lambda: {"a": torch.ones(2, device="meta")}, "device=meta"),
    "complex": (lambda: {"a": torch.ones(2, dtype=torch.complex64)}, "dtype=torch.complex64"),
    "nan": (lambda: {"a": torch.tensor([1.0, np.nan])}, "'a' holds numbers that are not finite"),
    "huge": (lambda: {"a": torch.ones(1).expand(10**5, 10**6)}, "more than the file"),
    "a module": (lambda: torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
    "numpy": (lambda: {"a": np.float64(1)}, r"asks for numpy.*scalar"),
}


# Copying a sparse tensor's layout warns of its beta state.
@pytest.mark.filterwarnings("ignore:Sparse.*:UserWarning")
@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_checkpoint_is_named(case, tmp_path):
    make, message = WRONG[case]
    path = save(make(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(str(path))


def test_a_name_with_and_without_prefix(tmp_path):
    path = save({"a": torch.ones(2), "module.a": torch.ones(2)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"Received: \['module\.a'\]"):
        read_torch(path)


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04", b"\x80\x02.", b"\x00" * 4000])
def test_other_files_are_refused(data, tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged or another kind"):
        read_checkpoint(str(path))


def test_both_formats_name_the_file(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(b"<html>")
    for format in ("ran_torch", "ms1m_torch"):
        with pytest.raises(ValueError, match=r"whole file of torch\.save.*x\.pth': it is damaged"):
            convert(source=path, format=format)
    with pytest.raises(FileNotFoundError, match=r"Received: source='.*none\.pth'"):
        convert(source=tmp_path / "none.pth", format="ran_torch")


# -- the child -------------------------------------------------------------------------------------


def test_without_pytorch_the_extra_is_named(tmp_path, monkeypatch):
    path = save(state_dict(), tmp_path / "x.pth")
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')\n")
    searched = [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, searched)))
    with pytest.raises(RuntimeError, match=r"pip install 'ran_tf\[torch\]'"):
        read_torch(path)


def test_converters_import_no_pytorch():
    code = "import sys, ran_tf.weights.convert; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
