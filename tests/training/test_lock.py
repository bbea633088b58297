"""One run in a work directory at a time."""

import os
import subprocess
import sys

import pytest

from ran_tf.training import lock

HOLD = """
import sys
from ran_tf.training import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_run_is_refused_until_the_first_is_dead(tmp_path):
    workdir = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, workdir], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(RuntimeError, match=rf"in use by .*\(process {process.pid} on .*\)"),
            lock.hold(workdir),
        ):
            pass
        process.kill()
    with lock.hold(workdir) as check:
        check()
        with pytest.raises(RuntimeError, match=f"process {os.getpid()} on"), lock.hold(workdir):
            pass


def test_the_directory_must_be_there_to_write_and_to_stay(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(NotADirectoryError, match=r"`workdir` must be a directory.*Received: work"),
        lock.hold(tmp_path / "file" / "run"),
    ):
        pass
    with lock.hold(tmp_path / "run") as check:
        (tmp_path / "run").rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError, match="is gone"):
            check()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / lock.NAME).touch()
        with pytest.raises(FileNotFoundError, match="is gone"):
            check()


@pytest.fixture
def unprivileged(tmp_path):
    """Runs the test as somebody who may not write here: root may write everywhere."""
    tmp_path.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)
    tmp_path.chmod(0o755)


def test_a_directory_that_cannot_be_written(tmp_path, unprivileged):
    with (
        pytest.raises(
            PermissionError, match=r"must be a directory that can be written \(Permission"
        ),
        lock.hold(tmp_path / "run"),
    ):
        pass
