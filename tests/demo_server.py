"""The command of the demo as a process, for the tests of its page."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import skimage.data

# Seconds until a process that imports TensorFlow and Gradio answers, on a busy machine.
_START = 240


def two_astronauts() -> np.ndarray:
    """Two faces side by side, the right one in the mirror: u8[512, 1024, 3]."""
    face = skimage.data.astronaut()
    return np.concatenate([face, face[:, ::-1]], axis=1)


@contextlib.contextmanager
def serve(folder: pathlib.Path, *arguments: str):
    """Runs the command; yields the page's address.

    Args:
      folder: becomes the process' folder for temporary files, empty again when it has ended.
      arguments: more flags.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ran_tf.launch.demo", f"--port={port}", *arguments]
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env={**os.environ, "TMPDIR": str(folder)}, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + _START
        while "Open http" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(url, timeout=20):
            yield url
        # Gradio writes down what fails, and goes on.
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    assert status == 0, log.read_text()
    assert not list(folder.iterdir()), "nothing is left"
