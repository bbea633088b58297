"""Others than this package can run an export: a C program."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.serving import service
from tests.exports.test_export import random_faces

SOURCE = pathlib.Path(__file__).with_name("serve_c_api.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled against the installed TensorFlow."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: install one, or name it in CC")
    library = pathlib.Path(tf.sysconfig.get_lib())
    if not (library / "libtensorflow_cc.so.2").exists():
        pytest.skip(f"this TensorFlow brings no libtensorflow_cc.so.2 in {library}")
    path = tmp_path_factory.mktemp("c") / "serve"
    subprocess.run(
        [
            *(compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", path),
            # Not for warnings in TensorFlow's own headers.
            *("-isystem", tf.sysconfig.get_include()),
            *(f"-L{library}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
            f"-Wl,-rpath,{library}",
        ],
        check=True,
    )
    return path


def run(program, path, signature, *, data: np.ndarray | bytes, folder) -> dict:
    """What the program says: {"code", "error", output -> f64[...] flat}."""
    (source,) = signature.inputs.values()
    outputs = {name: info.name for name, info in sorted(signature.outputs.items())}
    file = folder / "input"
    if isinstance(data, bytes):
        kind, shape = "string", "1"
        file.write_bytes(data)
    else:
        kind = {np.uint8: "uint8", np.float32: "float"}[data.dtype.type]
        shape = ",".join(map(str, data.shape))
        data.tofile(file)
    done = subprocess.run(
        [program, path, source.name, kind, shape, file, *outputs.values()],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    lines = [np.array(line.split(), np.float64) for line in done.stdout.splitlines()]
    return {
        "code": done.returncode,
        "error": done.stderr,
        **dict(zip(outputs, lines, strict=False)),
    }


def test_a_c_program_runs_every_signature(program, small_export, tmp_path):
    signatures = service.read_signature_def(small_export.path)
    faces = random_faces(2, 32, 32)
    regions = ran_tf.crop_regions(faces, ran_tf.fixed_boxes(6), size=(32, 32)).numpy()
    encoded = tf.io.encode_png(faces[1]).numpy()
    want = small_export.loaded.signatures["images"](images=tf.constant(faces))
    cases = {
        "images": (faces, slice(None)),
        "regions": (regions, slice(None)),
        "serving_default": (encoded, slice(1, 2)),
    }
    for name, (data, rows) in cases.items():
        got = run(program, small_export.path, signatures[name], data=data, folder=tmp_path)
        assert got["code"] == 0, got["error"]
        for output in signatures[name].outputs:
            expected = want[output][rows].numpy().ravel()
            np.testing.assert_allclose(got[output], expected, atol=1e-5, err_msg=output)
    bad = run(
        program, small_export.path, signatures["serving_default"], data=b"text", folder=tmp_path
    )
    assert bad["code"] == 1 and "`image_bytes[0]` must be a JPEG" in bad["error"]
