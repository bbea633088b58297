"""SIGTERM and Ctrl-C: what they ask for, what they print, and the exit codes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from ran_tf.launch import train
from ran_tf.training import loop

# PBKDF2 stands for a step of the network: one call into C, minutes long, that no signal ends.
STEP = """
import hashlib
from ran_tf.launch import stop
with stop.on_signals():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@contextlib.contextmanager
def start(code, *arguments):
    """A process that is ready; neither it nor its children outlive a test that fails."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def line_of(stream, *, seconds=10):
    """The next line, "" if none comes in time."""
    return stream.readline() if select.select([stream], [], [], seconds)[0] else ""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_one_more_ctrl_c_ends_at_once_inside_a_step(first):
    with start(STEP) as process:
        process.send_signal(first)
        assert line_of(process.stderr).startswith(f"{first.name}: finishing the step")
        process.send_signal(signal.SIGTERM)  # says nothing new
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


# What a worker of several is: a parent, and a child that waits for others and then trains.
SUPERVISED = """
import os, re, signal, sys, time
from ran_tf.launch import stop, supervise
be_ready = supervise.supervise(restarts=3, wait_seconds=60, waits_for="nobody")
if sys.argv[1] == "waits":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as TensorFlow does
    print("ready", flush=True)
    re.match("(a+)+$", 40 * "a" + "b")  # for days, and no other thread runs
if sys.argv[1] == "overtakes":
    os.kill(os.getppid(), signal.SIGSTOP)
be_ready()
with stop.on_signals() as asked:
    print("ready", flush=True)
    while not asked():
        time.sleep(0.01)
sys.exit(stop.exit_code(asked()))
"""


@pytest.mark.parametrize(
    ("number", "to_all", "code"),
    [
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGINT, True, 130),
        # The child hears of it by SIGTERM.
        (signal.SIGINT, False, 143),
    ],
)
def test_a_parent_tells_its_child_and_starts_no_other(number, to_all, code):
    with start(SUPERVISED, "trains") as process:
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(timeout=10) == code
        assert process.stderr.read().count("finishing the step") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_has_not_woken_to_hear_that_its_child_trains_does_not_kill_it(number):
    with start(SUPERVISED, "overtakes") as process:
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=10) == 143
        assert process.stderr.read().count("finishing the step") == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_child_that_waits_is_ended_by_its_parent_and_with_it(number, code):
    with start(SUPERVISED, "waits") as process:
        process.send_signal(number)
        assert process.wait(timeout=10) == code
        # Nobody holds the other ends any more.
        assert select.select([process.stdout], [], [], 10)[0] and process.stdout.read() == ""
        assert "starting it again" not in process.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_ends_with_the_code_of_the_signal(
    number, code, parse, synthetic_dir, tmp_path, monkeypatch, capsys
):
    def fake(config, workdir, *, hooks, **_):
        assert not hooks.stop()
        os.kill(os.getpid(), number)
        while not hooks.stop():
            time.sleep(0.01)
        raise loop.Stopped

    before = signal.getsignal(number)
    monkeypatch.setattr(loop, "train", fake)
    parse("--dataset=synthetic_faces", f"--data_dir={synthetic_dir}", f"--workdir={tmp_path}")
    with pytest.raises(SystemExit) as caught:
        train.main()
    assert caught.value.code == code
    assert "run the same command again to go on" in capsys.readouterr().out
    assert signal.getsignal(number) is before
