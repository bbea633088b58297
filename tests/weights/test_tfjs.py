"""TF.js files: stored tensors are restored, and what does not fit its list is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from ran_tf.weights.convert.tfjs import read_tfjs


def small_file(folder: Path, *, data=bytes(range(1, 9)), **entry) -> Path:
    entry = {"name": "x", "shape": [2], "dtype": "float32"} | entry
    (folder / "a.bin").write_bytes(data[:3])
    (folder / "b.bin").write_bytes(data[3:])
    path = folder / "model.json"
    manifest = [{"paths": ["a.bin", "b.bin"], "weights": [entry]}]
    path.write_text(json.dumps({"weightsManifest": manifest}))
    return path


@pytest.mark.parametrize(
    ("entry", "stored", "expected"),
    [
        ({}, np.float32([1.5, -2]), np.float32([1.5, -2])),
        ({"dtype": "int32"}, np.int32([7, -7]), np.int32([7, -7])),
        ({"dtype": "bool"}, np.bool_([True, False]), np.bool_([True, False])),
        ({"quantization": {"dtype": "float16"}}, np.float16([0.1, 9]), np.float32([0.09998, 9])),
        (
            {"quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
            np.uint8([0, 255]),
            np.float32([-1, 126.5]),
        ),
        (
            {"dtype": "int32", "quantization": {"dtype": "uint16", "scale": 1.9, "min": -3}},
            np.uint16([1, 1000]),
            np.int32([-1, 1897]),
        ),
    ],
)
def test_stored_tensors_are_restored(entry, stored, expected, tmp_path):
    array = read_tfjs(small_file(tmp_path, data=stored.tobytes(), **entry))["x"]
    assert array.dtype == expected.dtype
    np.testing.assert_allclose(array, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"shape": [3]}, r"cut short at tensor x.*Received: 8 bytes, at least 12 expected"),
        ({"shape": [1]}, r"4 bytes follow.*Received: 8 bytes, expected 4"),
        ({"dtype": "string"}, r"tensor x must have a dtype of .*Received: dtype='string'"),
    ],
)
def test_binary_files_that_do_not_match_their_list(entry, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_tfjs(small_file(tmp_path, **entry))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Received: source='.*none\.json'"):
        read_tfjs(tmp_path / "none.json")
    path = small_file(tmp_path)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.bin, which must lie beside it"):
        read_tfjs(path)
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="weightsManifest"):
        read_tfjs(path)
