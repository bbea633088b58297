"""The disk of a run is full, gone or read-only. Most of it as root on Linux, elsewhere skipped; the
suite simulates the same (`test_checkpoints`)."""

import contextlib
import os
import subprocess

import pytest

from ran_tf.training import manifest
from tests.worker_runs import Pause, assert_same, start, train_alone


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
