"""The machine itself fails: its disk is full or gone, its memory used up. Most of it as root on
Linux, elsewhere skipped; the suite simulates the same (`test_checkpoints`, `test_kill`)."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

from ran_tf.training import manifest
from tests.fixtures.worker_runs import Pause, assert_same, start, train_alone

MEMORY = pathlib.Path("/sys/fs/cgroup/memory")
# Takes memory by and by while process argv[1] has any.
HOG = """
import pathlib, sys
status = pathlib.Path("/proc", sys.argv[1], "status")
taken = []
try:
    while "VmRSS" in status.read_text():
        taken.append(b"x" * 10_000_000)
except OSError:  # it is gone
    pass
"""


@contextlib.contextmanager
def mounted(folder, *options):
    """Mounts a file system there, or skips the test."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", *options, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs a file system of its own, for which one must be root: {done.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m", "ran_tf") as folder:
        yield folder


@pytest.fixture
def read_only_data(tmp_path, synthetic_dir):
    """The dataset on a file system that root cannot write either."""
    with mounted(tmp_path / "data", "-o", "bind,ro", synthetic_dir) as folder:
        yield folder


@pytest.mark.large
def test_a_full_disk_ends_the_run_and_with_room_it_goes_on(small_disk, tmp_path, synthetic_dir):
    workdir, ballast = small_disk, small_disk / "ballast"
    pause = Pause(tmp_path / "pause", step=7)
    flags = ("--checkpoint_seconds=0",)
    with start(1, workdir, synthetic_dir, *flags, pause=pause) as alone:
        alone.wait_until(pause.file.exists, "the step")
        before = sorted(os.listdir(workdir / "checkpoints"))
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1_000_000))
        pause.end()
        assert alone.wait(seconds=60) == [1]
    log = alone.log(0)
    assert log.count("\nerror: ") == 1 and "Traceback" not in log, log
    assert "could not be written in" in log and "No space left on device" in log, log
    assert sorted(os.listdir(workdir / "checkpoints")) == before
    for name in before:
        manifest.check(workdir / "checkpoints" / name)
    ballast.unlink()
    with start(1, workdir, synthetic_dir, *flags) as alone:
        train_alone(tmp_path / "one", synthetic_dir)
        assert alone.wait(seconds=300) == [0]
    assert f"resumed at step {int(before[-1][5:14])}" in alone.log(0)
    assert_same(tmp_path / "one", workdir, atol=1e-5)


@pytest.mark.large
def test_a_run_whose_directory_is_taken_away_ends_and_makes_no_other(tmp_path, synthetic_dir):
    workdir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    pause = Pause(tmp_path / "pause", step=7)
    flags = ("--checkpoint_seconds=0",)
    with start(1, workdir, synthetic_dir, *flags, pause=pause) as alone:
        alone.wait_until(pause.file.exists, "the step")
        workdir.rename(elsewhere)
        pause.end()
        assert alone.wait(seconds=60) == [1]
    log = alone.log(0)
    assert log.count("\nerror: ") == 1 and "Traceback" not in log, log
    assert "is gone: it was removed, moved or unmounted" in log
    assert not workdir.exists()
    for folder in (elsewhere / "checkpoints").iterdir():
        manifest.check(folder)


@pytest.mark.large
def test_a_read_only_data_directory_is_all_that_training_needs(read_only_data, tmp_path):
    with pytest.raises(OSError, match="Read-only file system"):
        (read_only_data / "x").touch()
    with start(1, tmp_path / "run", str(read_only_data), "--epochs=1") as alone:
        assert alone.wait(seconds=300) == [0], alone.log(0)


@pytest.fixture
def group():
    """A group of processes that share 3 GB."""
    folder = MEMORY / f"ran_tf_{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(3 * 10**9))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"needs a control group of its own, for which one must be root: {error}")
    yield folder
    for _ in range(100):  # until the last process is gone
        with contextlib.suppress(OSError):
            folder.rmdir()
            break
        time.sleep(0.1)


def inside(group, *command):
    """A command that runs in the group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"', *command)


@pytest.mark.large
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_run_that_the_kernel_killed_for_memory_goes_on(group, tmp_path, synthetic_dir, restarts):
    workdir, pause = tmp_path / "run", Pause(tmp_path / "pause", step=7)
    arguments = (1, workdir, synthetic_dir, "--checkpoint_seconds=0")
    if restarts:
        arguments = (*arguments, f"--restarts={restarts}")
    with start(*arguments, pause=pause, prefixes=[inside(group)]) as alone:
        alone.wait_until(pause.file.exists, "the step")
        victim = alone.child(0) if restarts else alone.processes[0].pid
        # Of all in the group the kernel shall choose this one.
        pathlib.Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
        # It may be killed too, before the memory of the first is free again.
        subprocess.run(inside(group, sys.executable, "-c", HOG, str(victim)), check=False)
        train_alone(tmp_path / "one", synthetic_dir)
        (code,) = alone.wait(seconds=300)
    log = alone.log(0)
    if restarts:
        assert code == 0 and "worker ended with status 137; starting it again" in log, log
    else:
        assert code == -signal.SIGKILL, log
        with start(*arguments) as alone:
            assert alone.wait(seconds=300) == [0]
        log = alone.log(0)
    assert "resumed at step 7" in log
    assert_same(tmp_path / "one", workdir, atol=1e-5)
