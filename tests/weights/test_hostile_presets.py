"""Presets of strange bytes, and their downloads: sound, or one line that names them."""

import hashlib
import io
import json
import pathlib
import socket
import threading
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ran_tf.weights import fetch, preset_file, presets
from tests.fixtures.hostile import assert_one_line, damaged, hostile
from tests.fixtures.sound_card import CARD

LIMITS = {"weights.npz": 2**20, "card.json": 2**12, "known_output.json": 2**12}
SHAPES = {"conv/kernel": (3, 2), "conv/bias": (2,)}


def _archive(entries: list, *, compression=zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return packed.getvalue()


def _npz(arrays: dict) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


SOUND_ARRAYS = {name: np.ones(shape, np.float16) for name, shape in SHAPES.items()}
SOUND = {"weights.npz": _npz(SOUND_ARRAYS), "card.json": b"{}", "known_output.json": b"{}"}
SOUND_ZIP = _archive(list(SOUND.items()))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder in which nothing but the archive may appear."""
    folder = tmp_path_factory.mktemp("alone") / "inside"
    folder.mkdir()
    return folder


def _read_or_refuse(data: bytes, folder: pathlib.Path) -> dict | None:
    path = folder / "x.zip"
    path.write_bytes(data)
    try:
        files = preset_file.read_files(path, limits=LIMITS)
    except (ValueError, FileNotFoundError) as error:
        assert_one_line(error, str(path), "Received: ")
        assert data != SOUND_ZIP
        files = None
    assert [p.name for p in folder.parent.rglob("*")] == ["inside", "x.zip"]
    if files is not None:
        assert files.keys() == LIMITS.keys()
        assert all(len(files[name]) <= limit for name, limit in LIMITS.items())
    return files


@hostile(300)
@given(data=damaged(SOUND_ZIP, most=3))
@example(data=SOUND_ZIP)
def test_a_damaged_zip(data, alone):
    _read_or_refuse(data, alone)


names = st.sampled_from([*LIMITS, "../card.json", "/card.json", "a/card.json", "b/card.json"]) | (
    st.text("ab./\\\0é", max_size=12)
)


@hostile(200)
@given(
    entries=st.lists(st.tuples(names, st.binary(max_size=9)), max_size=6),
    prefix=st.sampled_from(["", "a/", "../", "/"]),
)
@example(entries=[("card.json", b"2")], prefix="")
@example(entries=[("/" * 40_000 + "x", b"")], prefix="")
def test_a_zip_of_strange_names(entries, prefix, alone):
    sound = [(prefix + name, content) for name, content in SOUND.items()]
    files = _read_or_refuse(_archive([*entries, *sound]), alone)
    if files is not None and prefix:
        assert files["weights.npz"] == SOUND["weights.npz"] or any(
            name.endswith("weights.npz") for name, _ in entries
        )


def test_what_a_zip_may_not_be(alone):
    def refused(data, message):
        (alone / "x.zip").write_bytes(data)
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            preset_file.read_files(alone / "x.zip", limits=LIMITS)

    sound = list(SOUND.items())
    refused(_archive([*sound, ("card.json", b"[]")]), "each file once.*with card.json twice")
    refused(_archive([("a/card.json", b""), ("b/card.json", b""), *sound[::2]]), "card.json is mi")
    refused(_archive([(f"a/b/{n}", c) for n, c in sound]), "weights.npz, .*are missing|is missing")
    # A thousand times smaller than what it unpacks to.
    bomb = _archive([("weights.npz", bytes(2**19)), *sound[1:]], compression=zipfile.ZIP_DEFLATED)
    refused(bomb, r"at most \d\d,\d+ bytes.*of 524,292 bytes unpacked")
    refused(_archive([("weights.npz", bytes(2**20 + 1)), *sound[1:]]), "at most 1,048,576 bytes")
    lying = _archive(sound).replace((2).to_bytes(4, "little") * 2, b"\xff\xff\xff\x7f" * 2)
    refused(lying, "at most 4,096 bytes. Received: 2,147,483,647 bytes")


def _arrays_or_refuse(data: bytes) -> None:
    try:
        arrays = preset_file.read_arrays(data, shapes=SHAPES, source="here")
    except ValueError as error:
        assert_one_line(error, "'here'")
        assert data != SOUND["weights.npz"]
        return
    for name, shape in SHAPES.items():
        assert arrays[name].shape == shape and arrays[name].dtype == np.float32
        assert np.isfinite(arrays[name]).all()


@hostile(300)
@given(data=damaged(SOUND["weights.npz"], most=3))
@example(data=SOUND["weights.npz"])
def test_damaged_arrays(data):
    _arrays_or_refuse(data)


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
def test_arrays_that_claim_too_much(member):
    data = _archive([("conv/kernel.npy", member), ("conv/bias.npy", member)])
    with pytest.raises(ValueError, match=r"the weights of a preset must be.*'here'"):
        preset_file.read_arrays(data, shapes=SHAPES, source="here")


def test_arrays_that_unpack_to_too_much_are_not_unpacked():
    large = io.BytesIO()
    np.save(large, np.zeros(2**22, np.float16))
    members = [(f"{name}.npy", large.getvalue()) for name in SHAPES]
    data = _archive(members, compression=zipfile.ZIP_DEFLATED)
    del large, members
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="2 differ: conv/bias, conv/kernel"):
            preset_file.read_arrays(data, shapes=SHAPES, source="here")
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
    data = _npz({**SOUND_ARRAYS, "conv/bias": np.array([Pickled(mark), None], object)})
    with pytest.raises(ValueError, match="must be a NumPy archive of plain arrays.*allow_pickle"):
        preset_file.read_arrays(data, shapes=SHAPES, source="here")
    assert not mark.exists()
    np.load(io.BytesIO(data), allow_pickle=True)["conv/bias"]
    assert mark.exists()  # it would have run


def test_arrays_of_another_kind():
    for bias in (np.array([np.nan, 1]), np.array([1e300, 1]), np.array(["a", "b"]), np.ones(3)):
        changes = {"conv/bias": bias}
        with pytest.raises(ValueError, match=r"1 differ: conv/bias\. Received: 'here'"):
            preset_file.read_arrays(_npz({**SOUND_ARRAYS, **changes}), shapes=SHAPES, source="here")


def test_the_digest_of_a_preset(tmp_path):
    files = {**SOUND, "card.json": json.dumps(CARD).encode()}
    for known in (b"", b"[]", b'{"weights_sha256": {}}', b"[" * 10_000, b"\xff"):
        for name, content in {**files, "known_output.json": known}.items():
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="weights_sha256|must have the SHA-256") as caught:
            presets.load_preset(tmp_path)
        assert_one_line(caught.value, str(tmp_path))
    digest = {"weights_sha256": hashlib.sha256(files["weights.npz"]).hexdigest()}
    (tmp_path / "known_output.json").write_text(json.dumps(digest))
    with pytest.raises(ValueError, match="those of the network on its card") as caught:
        presets.load_preset(tmp_path)
    assert_one_line(caught.value, str(tmp_path))


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
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.zip#sha256={'0' * 64}"
        with pytest.raises(kind, match=message) as caught:
            fetch.fetch(url)
        thread.join()
    assert_one_line(caught.value, "127.0.0.1")
    assert not list((tmp_path / "ran_tf").iterdir())
