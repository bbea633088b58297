"""SIGTERM to one worker of several: all stop after the same step, with a checkpoint, and go on."""

import os

import pytest

from tests.fixtures.worker_runs import Pause, assert_same, start, train_alone

EPOCHS = 4


@pytest.mark.large
@pytest.mark.parametrize(
    ("victim", "step", "newest"),
    [
        # Asked in an epoch of the steps 6..11: they agree next as its validation begins.
        (0, 9, "step-000000012-epoch-00001"),
        # In one of the steps 12..17: they agree at step 16, the seventeenth.
        (1, 12, "step-000000017-epoch-00002"),
    ],
)
def test_sigterm_to_one_worker_stops_all(tmp_path, synthetic_dir, victim, step, newest):
    flags = (f"--epochs={EPOCHS}", "--restarts=2")
    pause = Pause(tmp_path / "pause", step=step, worker=victim)
    with start(2, tmp_path / "two", synthetic_dir, *flags, pause=pause) as both:
        both.wait_until(pause.file.exists, "the step")
        both.processes[victim].terminate()
        both.wait_until(lambda: "SIGTERM" in both.log(victim), "the signal")
        pause.end()
        codes = both.wait(seconds=120)
    logs = [both.log(0), both.log(1)]
    assert codes == [143, 143], logs
    assert "SIGTERM: finishing the step" in logs[victim]
    assert "SIGTERM" not in logs[1 - victim]
    assert "stopped with a checkpoint in" in logs[0] and "stopped" not in logs[1]
    assert not any("\nerror: " in log or "starting it again" in log for log in logs), logs
    assert max(os.listdir(tmp_path / "two" / "checkpoints")) == newest
    with start(2, tmp_path / "two", synthetic_dir, *flags) as both:
        train_alone(tmp_path / "one", synthetic_dir, epochs=EPOCHS)
        assert both.wait(seconds=300) == [0, 0]
    assert f"resumed at step {int(newest[5:14])}" in both.log(0)
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-5)


@pytest.mark.large
def test_a_worker_that_waits_for_the_others_can_be_stopped(tmp_path, synthetic_dir):
    with start(2, tmp_path / "run", synthetic_dir) as both:
        alone, other = both.processes
        other.kill()
        both.wait_until(lambda: both.listens(0), "its own server")
        alone.terminate()
        assert alone.wait(timeout=10) == 143
