"""Several workers, as processes of one machine: equal to one device, killed, and started again."""

import csv
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.config import DataConfig, OptimizerConfig, RegionConfig, TrainConfig
from ran_tf.launch import cluster, evaluate
from ran_tf.training import loop, workers
from tests import worker_process

ROOT = pathlib.Path(__file__).parents[1]
# 43 faces in batches of 8 leave 3 for the last one, 17 for validation leave 1.
CONFIG = TrainConfig(
    data=DataConfig(
        image_size=(24, 24),
        train_split="train[:43]",
        validation_split="validation[:17]",
        regions=RegionConfig(kind="random", k=3),
    ),
    model={"backbone": "tiny", "size": (32, 32)},
    optimizer=OptimizerConfig(learning_rate=0.01, ema=0.9),
    epochs=2,
    batch_size=8,
)
FLAGS = (
    "--image_size=24",
    "--train_split=train[:43]",
    "--validation_split=validation[:17]",
    "--regions=random",
    "--num_regions=3",
    "--backbone=tiny",
    "--region_size=32",
    "--learning_rate=0.01",
    "--ema=0.9",
    "--batch_size=8",
    "--epochs=2",
    "--evaluate",
)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(number, workdir, data_dir, *flags):
    """The training command on so many workers; their output goes to files beside `workdir`."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(number)]
    started = []
    for index in range(number):
        config = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        with workdir.with_name(f"{workdir.name}.{index}.log").open("w") as log:
            started.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "tests.worker_process"),
                        *(f"--workdir={workdir}", f"--data_dir={data_dir}", *FLAGS, *flags),
                    ],
                    cwd=ROOT,
                    env={
                        **os.environ,
                        "TF_CONFIG": json.dumps(config),
                        "PYTHONPATH": str(ROOT),
                        "OMP_NUM_THREADS": "1",
                    },
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    return started


def logs_of(workdir, number):
    return [workdir.with_name(f"{workdir.name}.{i}.log").read_text() for i in range(number)]


def rows_of(workdir):
    with (workdir / "metrics.csv").open() as handle:
        return [
            {name: float(value) for name, value in row.items() if name != "faces_per_second"}
            for row in csv.DictReader(handle)
        ]


def train_alone(workdir, data_dir, *, epochs=CONFIG.epochs):
    config = dataclasses.replace(
        CONFIG, epochs=epochs, data=dataclasses.replace(CONFIG.data, data_dir=data_dir)
    )
    loop.train(config, workdir, strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
    evaluate.evaluate(
        workdir, out=workdir / "report", data_dir=data_dir, command="", **worker_process.EVALUATED
    )


def assert_same(one, many, *, atol):
    for a, b in zip(rows_of(one), rows_of(many), strict=True):
        np.testing.assert_allclose([*a.values()], [*b.values()], atol=atol, rtol=0, err_msg=str(b))
    a, b = (json.loads((path / "report" / "report.json").read_text()) for path in (one, many))
    for name, subset in a["subsets"].items():
        for key in ("count", "confusion"):
            assert subset[key] == b["subsets"][name][key], (name, key)


def test_two_workers_are_one_run(tmp_path, synthetic_dir):
    both = start(2, tmp_path / "two", synthetic_dir)
    try:
        train_alone(tmp_path / "one", synthetic_dir)
        codes = [process.wait(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()
    chief, other = logs_of(tmp_path / "two", 2)
    assert codes == [0, 0], chief + other
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-5)
    # One of them writes and speaks.
    assert "best epoch" in chief and "best epoch" not in other
    assert len(json.loads((tmp_path / "two" / "run.json").read_text())["starts"]) == 1


@pytest.mark.large
def test_three_workers_are_one_run(tmp_path, synthetic_dir):
    three = start(3, tmp_path / "three", synthetic_dir)
    train_alone(tmp_path / "one", synthetic_dir)
    assert [process.wait(timeout=600) for process in three] == [0, 0, 0]
    assert_same(tmp_path / "one", tmp_path / "three", atol=1e-5)


def kill_training(process, workdir):
    """Kills the child that trains once there is a checkpoint; returns when that was."""
    deadline = time.monotonic() + 300
    while not list((workdir / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.1)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    os.kill(int(children.split()[0]), signal.SIGKILL)
    return time.monotonic()


@pytest.mark.large
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_worker_ends_the_others_with_one_error(tmp_path, synthetic_dir, victim):
    flags = ("--epochs=200", "--checkpoint_seconds=0")
    both = start(2, tmp_path / "run", synthetic_dir, *flags)
    killed = kill_training(both[victim], tmp_path / "run")
    codes = [process.wait(timeout=120) for process in both]
    print(f"victim {victim}: {time.monotonic() - killed:.1f} seconds")
    assert codes[victim] == 128 + signal.SIGKILL and codes[1 - victim] == 75
    log = logs_of(tmp_path / "run", 2)[1 - victim]
    assert log.count("error: a worker was lost") == 1 and "Traceback" not in log, log
    assert time.monotonic() - killed < 60


@pytest.mark.large
@pytest.mark.parametrize("victim", [0, 1])
def test_workers_start_again_and_go_on(tmp_path, synthetic_dir, victim):
    flags = ("--epochs=6", "--checkpoint_seconds=0", "--restarts=3")
    both = start(2, tmp_path / "two", synthetic_dir, *flags)
    kill_training(both[victim], tmp_path / "two")
    train_alone(tmp_path / "one", synthetic_dir, epochs=6)
    assert [process.wait(timeout=600) for process in both] == [0, 0]
    logs = logs_of(tmp_path / "two", 2)
    assert all("starting it again" in log for log in logs) and "resumed at step" in logs[0]
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-4)


@pytest.mark.large
def test_a_worker_that_never_comes_is_not_waited_for_longer_than_asked(tmp_path, synthetic_dir):
    (alone, other) = start(2, tmp_path / "run", synthetic_dir, "--wait_for_workers=20")
    other.kill()
    began = time.monotonic()
    assert alone.wait(timeout=120) == 75 and time.monotonic() - began < 60
    assert "error: waited 20 seconds for the other workers" in logs_of(tmp_path / "run", 2)[0]


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
        None, None, "Collective ops is aborted by: /job:worker/task:1"
    )
    with pytest.raises(tf.errors.UnavailableError), workers.explain_loss(several=False):
        raise gone
    with (
        pytest.raises(workers.WorkerLostError, match="is aborted by: /job:worker/task:1"),
        workers.explain_loss(several=True),
    ):
        raise gone


def test_a_last_batch_with_too_few_faces_is_refused(tmp_path, synthetic_dir, two_replicas):
    data = dataclasses.replace(CONFIG.data, data_dir=synthetic_dir, train_split="train[:17]")
    config = dataclasses.replace(CONFIG, data=data)
    with pytest.raises(ValueError, match="Received: batch_size=8, which leaves 1 of 17"):
        loop.train(config, tmp_path, strategy=two_replicas)
