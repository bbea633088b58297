"""Several workers, as processes of one machine: equal to one device, killed, and started again."""

import dataclasses
import json
import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.data import ops
from ran_tf.data.share import WHOLE
from ran_tf.launch import cluster
from ran_tf.training import loop, workers
from tests.fixtures.worker_runs import CONFIG, assert_same, start, train_alone


def test_batches_of_one_device_are_the_datasets_own():
    """TensorFlow's iterator over devices brings a tuner, and may take a minute to end."""

    def numbers(share):
        assert share == WHOLE
        return ops.untuned(tf.data.Dataset.range(5).batch(2))

    batches = workers.distribute(tf.distribute.OneDeviceStrategy("CPU:0"), numbers)
    assert batches.options().autotune.enabled is False
    assert [rows.tolist() for rows in batches.as_numpy_iterator()] == [[0, 1], [2, 3], [4]]


def test_two_workers_are_one_run(tmp_path, synthetic_dir):
    with start(2, tmp_path / "two", synthetic_dir) as both:
        train_alone(tmp_path / "one", synthetic_dir)
        codes = both.wait(seconds=300)
    chief, other = both.log(0), both.log(1)
    assert codes == [0, 0], chief + other
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-5)
    # One of them writes and speaks.
    assert "best epoch" in chief and "best epoch" not in other
    assert len(json.loads((tmp_path / "two" / "run.json").read_text())["starts"]) == 1


@pytest.mark.large
def test_three_workers_are_one_run(tmp_path, synthetic_dir):
    with start(3, tmp_path / "three", synthetic_dir) as three:
        train_alone(tmp_path / "one", synthetic_dir)
        assert three.wait(seconds=600) == [0, 0, 0]
    assert_same(tmp_path / "one", tmp_path / "three", atol=1e-5)


@pytest.mark.large
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_ends_the_others_with_one_error(tmp_path, synthetic_dir, victim, how):
    """One that is dead, and one that only stands still: it gives up when it goes on."""
    flags = ("--epochs=200", "--checkpoint_seconds=0")
    with start(2, tmp_path / "run", synthetic_dir, *flags) as both:
        both.wait_for_checkpoint()
        child, lost = both.child(victim), time.monotonic()
        os.kill(child, how)
        assert both.processes[1 - victim].wait(timeout=120) == 75
        took = time.monotonic() - lost
        if how == signal.SIGSTOP:
            assert both.processes[victim].poll() is None
            os.kill(child, signal.SIGCONT)
        code = both.processes[victim].wait(timeout=120)
    print(f"{how.name} to worker {victim}: the other ended after {took:.1f} seconds")
    assert code == (128 + signal.SIGKILL if how == signal.SIGKILL else 75)
    log = both.log(1 - victim)
    assert log.count("error: a worker was lost") == 1 and "Traceback" not in log, log
    assert took < 60


@pytest.mark.large
@pytest.mark.parametrize("victim", [0, 1])
def test_workers_start_again_and_go_on(tmp_path, synthetic_dir, victim):
    flags = ("--epochs=6", "--checkpoint_seconds=0", "--restarts=3")
    with start(2, tmp_path / "two", synthetic_dir, *flags) as both:
        both.wait_for_checkpoint()
        os.kill(both.child(victim), signal.SIGKILL)
        train_alone(tmp_path / "one", synthetic_dir, epochs=6)
        assert both.wait(seconds=600) == [0, 0]
    logs = [both.log(0), both.log(1)]
    assert all("starting it again" in log for log in logs) and "resumed at step" in logs[0]
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-4)


@pytest.mark.large
def test_a_worker_that_never_comes_is_not_waited_for_longer_than_asked(tmp_path, synthetic_dir):
    with start(2, tmp_path / "run", synthetic_dir, "--wait_for_workers=20") as both:
        alone, other = both.processes
        other.kill()
        began = time.monotonic()
        assert alone.wait(timeout=120) == 75 and time.monotonic() - began < 60
    assert "error: waited 20 seconds for the other workers" in both.log(0)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:2"]}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1e999}}',
        '{"cluster": {"worker": {"a:1": 0}}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:\u00b2"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_cluster_is_refused(text):
    with pytest.raises(ValueError, match="Received: TF_CONFIG="):
        cluster.read_cluster({"TF_CONFIG": text})


def test_the_chief_comes_first():
    config = {
        "cluster": {"worker": ["b:1", "c:1"], "chief": ["a:1"]},
        "task": {"type": "worker", "index": 1},
    }
    found = cluster.read_cluster({"TF_CONFIG": json.dumps(config)})
    assert found == cluster.Cluster(addresses=("a:1", "b:1", "c:1"), index=2) and found.several
    assert not cluster.read_cluster({}).several
    del config["cluster"]["chief"], config["cluster"]["worker"][1]
    config["task"]["index"] = 0
    assert not cluster.read_cluster({"TF_CONFIG": json.dumps(config)}).several


def test_one_worker_needs_nobody():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    rows = np.arange(6.0).reshape(3, 2)
    assert workers.gather(strategy, rows) is rows
    assert workers.is_chief(strategy) and workers.count(strategy) == 1
    workers.wait_for_all(strategy)
    assert workers.any_asked(strategy, lambda: True, step=3)
    gone = tf.errors.UnavailableError(
        None, None, "{{function_node x}} Collective ops is aborted by: /job:worker/task:1"
    )
    with pytest.raises(tf.errors.UnavailableError), workers.explain_loss(several=False):
        raise gone
    with (
        pytest.raises(workers.WorkerLostError, match=r"\(Collective ops is aborted by: /job:wor"),
        workers.explain_loss(several=True),
    ):
        raise gone


def test_a_last_batch_with_too_few_faces_is_refused(tmp_path, synthetic_dir, two_replicas):
    data = dataclasses.replace(CONFIG.data, data_dir=synthetic_dir, train_split="train[:17]")
    config = dataclasses.replace(CONFIG, data=data)
    with pytest.raises(ValueError, match="Received: batch_size=8, which leaves 1 of 17"):
        loop.train(config, tmp_path, strategy=two_replicas)
