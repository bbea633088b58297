"""The commands and the client of docs/guides/serve.md, taken out of it and run."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

import ran_tf
from ran_tf.serving import service
from tests.fixtures import rest_server

ROOT = pathlib.Path(__file__).parents[2]
# Where TensorFlow Serving listens, as do the page's clients.
PORTS = {"gRPC": 8500, "REST": 8501}


def page() -> str:
    return (ROOT / "docs" / "guides" / "serve.md").read_text()


def the_block(kind: str, part: str) -> str:
    """The fenced block of the page that is in a language and has a part in it."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", page(), re.S | re.M)
    (block,) = (block for block in blocks if part in block)
    return block


def write_face(folder: pathlib.Path) -> np.ndarray:
    """face.jpg in a folder: its pixels, u8[h, w, 3]."""
    data = tf.io.encode_jpeg(skimage.data.astronaut()[:256, 128:352]).numpy()
    (folder / "face.jpg").write_bytes(data)
    return tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()


def run_shell(commands: str, *, folder: pathlib.Path) -> str:
    """What commands print, run by bash in a folder."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def ask_by_curl(folder: pathlib.Path, *, port: int = PORTS["REST"]) -> np.ndarray:
    """The probabilities, f32[n], that the line with `curl` prints."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    line = the_block("sh", "models/ran:predict")
    assert line.count(f"127.0.0.1:{PORTS['REST']}/") == 1
    said = run_shell(line.replace(f":{PORTS['REST']}/", f":{port}/"), folder=folder)
    (row,) = json.loads(said)["predictions"]
    return np.array(row["probabilities"])


def ask_by_grpc(capsys, *, port: int = PORTS["gRPC"]) -> np.ndarray:
    """The probabilities, f32[n], that the client of the page prints; in the face's folder."""
    pytest.importorskip("tensorflow_serving")
    client = the_block("py", "grpc")
    assert client.count(f'"127.0.0.1:{PORTS["gRPC"]}"') == 1
    capsys.readouterr()
    exec(compile(client.replace(str(PORTS["gRPC"]), str(port)), "serve.md", "exec"), {})
    rows = capsys.readouterr().out
    return np.array(json.loads(re.sub(r"(?<=[\d.])\s+(?=\d)", ",", rows))[0])


def test_curl_and_the_grpc_client_are_answered(small_export, tmp_path, monkeypatch, capsys):
    face = write_face(tmp_path)
    want = small_export.loaded.signatures["images"](images=tf.constant(face[None]))
    model = service.ModelService(small_export.path)
    options = {"host": "127.0.0.1", "port": 0, "max_request_bytes": 2**20}
    with rest_server.serve(model) as port:
        said = ask_by_curl(tmp_path, port=port)
    np.testing.assert_allclose(said, want["probabilities"][0], atol=1e-5)

    pytest.importorskip("grpc")
    from ran_tf.serving import grpc_service

    remote = grpc_service.make_server(model, **options)
    remote["server"].start()
    monkeypatch.chdir(tmp_path)
    try:
        said = ask_by_grpc(capsys, port=remote["port"])
    finally:
        remote["server"].stop(None).wait()
    np.testing.assert_allclose(said, want["probabilities"][0], atol=1e-5)


@pytest.mark.large
def test_the_page_as_a_user_follows_it(tmp_path, monkeypatch, capsys):
    """Every line as it is printed, on its ports, with our server in Docker's place."""
    for port in PORTS.values():
        with socket.socket() as free:
            if free.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} of this machine is taken")
    face = write_face(tmp_path)
    monkeypatch.chdir(tmp_path)
    export, docker = the_block("sh", "docker").splitlines()
    assert docker.startswith("docker run ")
    model = re.search(r"--model=(\S+)", export)[1]
    assert "differs from the model by at most" in run_shell(export, folder=tmp_path)
    assert "`python -m ran_tf.launch.export --check=EXPORT_DIR [--model=PRESET]`" in page()
    for flags in ("--check=export", f"--check=export --model={model}"):
        said = run_shell(f"python -m ran_tf.launch.export {flags}", folder=tmp_path)
        assert "reloaded without Keras" in said
    serve = re.search(r"`(python -m ran_tf\.launch\.serve [^`]*)`", page())[1]
    with subprocess.Popen(
        [sys.executable, *serve.split()[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert any(line.startswith("REST: ") for line in process.stdout)
            answers = [ask_by_curl(tmp_path), ask_by_grpc(capsys)]
        finally:
            process.send_signal(signal.SIGTERM)
    # Pixels, since the predictor's JPEG decoder rounds otherwise than the server's.
    (want,) = ran_tf.Predictor(model)([face])
    for answer in answers:
        np.testing.assert_allclose(answer, want.probabilities, atol=1e-4)
