"""Presets of strange bytes, and their downloads: sound, or one line that names them."""

import io
import json
import pathlib
import socket
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given

from ran_tf.weights import fetch, preset_file, presets
from tests.fixtures.hostile import assert_one_line, damaged, hostile
from tests.fixtures.sound_card import CARD

SHAPES = {"conv/kernel": (3, 2), "conv/bias": (2,)}
SOUND = {name: np.ones(shape, np.float16) for name, shape in SHAPES.items()}


def _npz(arrays: dict) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


FORMATS = {
    preset_file.WEIGHTS: preset_file.pack(SOUND, card="{}"),
    "weights.npz": _npz(SOUND),  # before safetensors
}


@pytest.fixture(params=FORMATS)
def preset(request, tmp_path_factory):
    """The path of the weights in a folder of a preset, which is not written yet."""
    folder = tmp_path_factory.mktemp("preset")
    (folder / "card.json").write_text("{}")
    return folder / request.param


def _check(path: pathlib.Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        preset_file.read_card(path.parent)
        arrays = preset_file.read_arrays(path.parent, shapes=SHAPES)
    except ValueError as error:
        assert_one_line(error, str(path.parent), "Received: ")
        assert data != FORMATS[path.name]
        return
    for name, shape in SHAPES.items():
        assert arrays[name].shape == shape and arrays[name].dtype == np.float32
        assert np.isfinite(arrays[name]).all()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_weights(name, tmp_path):
    (tmp_path / "card.json").write_text("{}")

    @hostile(300)
    @given(data=damaged(FORMATS[name], most=3))
    @example(data=FORMATS[name])
    def check(data):
        _check(tmp_path / name, data)

    check()


def _refused(preset: pathlib.Path, data: bytes, match: str) -> None:
    preset.write_bytes(data)
    with pytest.raises(ValueError, match=match) as caught:
        preset_file.read_arrays(preset.parent, shapes=SHAPES)
    assert_one_line(caught.value, str(preset.parent))


def test_arrays_of_another_kind(preset):
    pack = _npz if preset.suffix == ".npz" else safetensors.numpy.save
    for bias in (np.array([np.nan, 1]), np.array([1e300, 1]), np.ones(2, int), np.ones(3)):
        _refused(preset, pack({**SOUND, "conv/bias": bias}), "1 differ: conv/bias. Received")
    _refused(preset, pack({"conv/bias": SOUND["conv/bias"]}), "1 differ: conv/kernel")
    _refused(preset, pack({**SOUND, "more": np.ones(2)}), "1 differ: more")


# -- safetensors -----------------------------------------------------------------------------------


def _safetensors(header: str, data: bytes = bytes(12)) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + data


@pytest.mark.parametrize(
    "header",
    [
        '{"conv/kernel":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
        '{"conv/kernel":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,12]}}',
        '{"conv/kernel":{"dtype":"F16","shape":[3,2],"data_offsets":[0,12]},'
        '"conv/bias":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}',
        '{"conv/kernel":{"dtype":"F16","shape":[3,2],"data_offsets":[12,0]}}',
        '{"__metadata__":' + "[" * 100_000,
        "[]",
    ],
)
def test_headers_that_claim_too_much(header, tmp_path):
    _refused(tmp_path / preset_file.WEIGHTS, _safetensors(header), "whole file of safetensors")


def test_a_card_that_is_none(tmp_path):
    path = tmp_path / preset_file.WEIGHTS
    for metadata in (None, {"cards": "{}"}):
        path.write_bytes(safetensors.numpy.save(SOUND, metadata=metadata))
        with pytest.raises(ValueError, match="with a card in its metadata") as caught:
            presets.load_preset(path)
        assert_one_line(caught.value, str(path))
    for card in ("", "[]", "[" * 10_000, "\0"):
        path.write_bytes(preset_file.pack(SOUND, card=card))
        with pytest.raises(ValueError, match="must be a model card") as caught:
            presets.load_preset(path)
        assert_one_line(caught.value, str(path))
    path.write_bytes(preset_file.pack(SOUND, card=" " * 2**20 + "{}"))
    with pytest.raises(ValueError, match="at most 1,048,576 bytes"):
        presets.load_preset(path)
    path.write_bytes(preset_file.pack(SOUND, card=json.dumps(CARD)))
    with pytest.raises(ValueError, match="fit the network that its card describes") as caught:
        presets.load_preset(path)
    assert_one_line(caught.value, str(path))


# -- weights.npz -----------------------------------------------------------------------------------


def _archive(member: bytes, *, compression=zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name in SHAPES:
            archive.writestr(f"{name}.npy", member)
    return packed.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(12)


@pytest.mark.parametrize(
    "member",
    [
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}\n"),
        _header("{'descr': '<f2', 'fortran_order': False, 'shape': (9999999999999999999999,)}\n"),
        _header("{'descr': '|O', 'fortran_order': False, 'shape': (3, 2)}\n"),
        _header("__import__('os').abort()\n"),
        _header("[" * 5000 + "\n"),
        b"no array",
        bytes(2**16),
    ],
)
def test_arrays_that_claim_too_much(member, tmp_path):
    _refused(tmp_path / "weights.npz", _archive(member), "the weights of a preset must be")


def test_arrays_that_unpack_to_too_much_are_not_unpacked(tmp_path):
    large = io.BytesIO()
    np.save(large, np.zeros(2**22, np.float16))
    data = _archive(large.getvalue(), compression=zipfile.ZIP_DEFLATED)
    del large
    tracemalloc.start()
    try:
        _refused(tmp_path / "weights.npz", data, "2 differ: conv/bias, conv/kernel")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


class Pickled:
    """As it is unpickled, it makes a file."""

    def __init__(self, mark: pathlib.Path):
        self.mark = mark

    def __reduce__(self):
        return pathlib.Path.touch, (self.mark,)


def test_pickles_in_arrays_are_not_read(tmp_path):
    mark = tmp_path / "mark"
    data = _npz({**SOUND, "conv/bias": np.array([Pickled(mark), None], object)})
    _refused(tmp_path / "weights.npz", data, "allow_pickle")
    assert not mark.exists()
    np.load(io.BytesIO(data), allow_pickle=True)["conv/bias"]
    assert mark.exists()  # it would have run


# -- downloads -------------------------------------------------------------------------------------

ANSWERS = {
    "garbage": (b"nonsense\r\n\r\n", OSError, "cannot be downloaded"),
    "short": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        (OSError, ValueError),
        "cannot be downloaded|must have the SHA-256",
    ),
    "long": (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2000), ValueError, "at most 1,000 bytes"),
    "nothing": (b"", OSError, "cannot be downloaded"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_server_of_strange_answers(case, tmp_path, monkeypatch):
    answer, kind, message = ANSWERS[case]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "MAX_BYTES", 1000)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection = server.accept()[0]
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.safetensors#sha256={'0' * 64}"
        with pytest.raises(kind, match=message) as caught:
            fetch.fetch(url)
        thread.join()
    assert_one_line(caught.value, "127.0.0.1")
    assert not list((tmp_path / "ran_tf").iterdir())
