"""Weights and checkpoints of strange bytes: read in a child, which may die of them alone."""

import pathlib

import h5py
import keras
import pytest
from hypothesis import given

from ran_tf.weights import convert, weights_file
from tests.fixtures import fork_server
from tests.fixtures.hostile import damaged, hostile

ROOT = pathlib.Path(convert.__file__).parents[1]


@pytest.fixture
def readers(request):
    """Starts fork servers, and ends them."""
    servers = []

    def start(*arguments, **options):
        servers.append(fork_server.Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _check_answer(answer: dict, died: list) -> bool:
    """Whether the file was read; a child may die, and no exception of another kind may come."""
    assert "unexpected" not in answer, answer
    if "died" in answer:
        died.append(answer["died"])
        return False
    if answer["error"] is not None:
        assert "\n" not in answer["error"] and 0 < len(answer["error"]) < 2000
    return answer["error"] is None


# -- HDF5 ------------------------------------------------------------------------------------------


def test_weights_files(readers, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    path = tmp_path / "x.weights.h5"
    weights_file.save(model, path, arguments={"preprocessing": "unit"})
    whole, died = path.read_bytes(), []
    server = readers(ROOT / "h5_child.py", "copy_arrays", memory=2**28)
    assert server.read(path) == {"error": None}

    @hostile(300)
    @given(data=damaged(whole))
    def check(data):
        path.write_bytes(data)
        if _check_answer(server.read(path), died):
            _check_copy(f"{path}.out", most=len(data))

    check()
    # Of a parser in C; the product makes an error of each.
    print(f"{len(died)} deaths: {sorted(set(died))}")


def _check_copy(path: str, *, most: int) -> None:
    sizes = []

    def look(name, item):
        assert isinstance(item, (h5py.Group, h5py.Dataset)), name
        if isinstance(item, h5py.Dataset):
            assert item.dtype.kind in "fiubV" and not item.external and not item.is_virtual
            sizes.append(item.nbytes)

    with h5py.File(path, "r") as file:
        file.visititems(look)
    assert sum(sizes) <= most


# -- PyTorch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_checkpoints(zipped, readers, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is the extra `torch`")
    path, died = tmp_path / "x.pth", []
    content = {"state_dict": {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2).half()}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    server = readers(ROOT / "convert" / "torch_child.py", "read_checkpoint", memory=2**30)
    assert server.read(path) == {"error": None}

    @hostile(100)
    @given(data=damaged(whole))
    def check(data):
        path.write_bytes(data)
        _check_answer(server.read(path), died)

    check()
    print(f"{len(died)} deaths: {sorted(set(died))}")
