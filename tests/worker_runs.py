"""Runs of several workers, as processes of this machine, and the same run on one device."""

import csv
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ran_tf.config import DataConfig, ModelConfig, OptimizerConfig, RegionConfig, TrainConfig
from ran_tf.launch import evaluate
from ran_tf.training import loop
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
    model=ModelConfig(backbone="tiny", size=(32, 32)),
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


@dataclasses.dataclass(frozen=True)
class Workers:
    """The training command on several workers.

    Attributes:
      workdir: that they share.
      addresses: HOST:PORT of each.
      processes: the parents of those that train, the chief's first.
    """

    workdir: pathlib.Path
    addresses: Sequence[str]
    processes: list[subprocess.Popen]

    def log(self, index: int) -> str:
        """What a worker has said so far."""
        return log_of(self.workdir, index).read_text()

    def child(self, index: int) -> int:
        """The process that trains."""
        parent = self.processes[index].pid
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return int(children.split()[0])

    def wait(self, *, seconds: float) -> list[int]:
        """The exit codes of all."""
        deadline = time.monotonic() + seconds
        return [p.wait(timeout=max(0.0, deadline - time.monotonic())) for p in self.processes]

    def wait_until(self, happened: Callable[[], bool], what: str, *, seconds: float = 300) -> None:
        """Returns once it has; an error if it has not, or if all workers have ended."""
        deadline = time.monotonic() + seconds
        while not happened():
            codes = [p.poll() for p in self.processes]
            if None not in codes or time.monotonic() > deadline:
                logs = "".join(self.log(i)[-2000:] for i in range(len(codes)))
                raise AssertionError(f"waited in vain for {what}; exit codes {codes}: {logs}")
            time.sleep(0.05)

    def wait_for_checkpoint(self) -> None:
        folder = self.workdir / "checkpoints"
        self.wait_until(lambda: any(folder.glob("step-*")), "a checkpoint")

    def listens(self, index: int) -> bool:
        """Whether TensorFlow has come up in a worker, so far as not to need the others."""
        host, port = self.addresses[index].split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()  # the child follows
            process.wait()


@dataclasses.dataclass(frozen=True)
class Pause:
    """A worker that stands still after a step, once, until the test lets it go on.

    Attributes:
      file: by which they speak.
      step: after which.
      worker: which one; the others wait for it.
    """

    file: pathlib.Path
    step: int
    worker: int = 0

    def environment(self, index: int) -> dict[str, str]:
        return {"RAN_TF_PAUSE": f"{self.step}:{self.file}"} if index == self.worker else {}

    def end(self) -> None:
        self.file.write_text("go")


def log_of(workdir: pathlib.Path, index: int) -> pathlib.Path:
    return workdir.with_name(f"{workdir.name}.{index}.log")


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return [f"127.0.0.1:{port}" for port in ports]


def start(
    number: int,
    workdir: pathlib.Path,
    data_dir: str,
    *flags: str,
    addresses: Sequence[str] | None = None,
    prefixes: Sequence[Sequence[str]] | None = None,
    pause: Pause | None = None,
) -> Workers:
    """The training command on so many workers; their output goes to files beside `workdir`.

    Args:
      number: of workers.
      workdir: that they share.
      data_dir: where synthetic_faces is prepared.
      *flags: beside `FLAGS`.
      addresses: HOST:PORT of each.
      prefixes: what each command is run by, such as `ip netns exec NAME`.
      pause: where one of them waits for the test.
    """
    addresses = addresses or free_addresses(number)
    started = []
    for index in range(number):
        config = {
            "cluster": {"worker": list(addresses)},
            "task": {"type": "worker", "index": index},
        }
        with log_of(workdir, index).open("w") as log:
            started.append(
                subprocess.Popen(
                    [
                        *(prefixes[index] if prefixes else ()),
                        *(sys.executable, "-m", "tests.worker_process"),
                        *(f"--workdir={workdir}", f"--data_dir={data_dir}", *FLAGS, *flags),
                    ],
                    cwd=ROOT,
                    env={
                        **os.environ,
                        "TF_CONFIG": json.dumps(config),
                        "PYTHONPATH": str(ROOT),
                        "OMP_NUM_THREADS": "1",
                        **(pause.environment(index) if pause else {}),
                    },
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    return Workers(workdir, addresses, started)


def rows_of(workdir: pathlib.Path) -> list[dict[str, float]]:
    """metrics.csv without what clocks say."""
    with (workdir / "metrics.csv").open() as handle:
        return [
            {name: float(value) for name, value in row.items() if name != "faces_per_second"}
            for row in csv.DictReader(handle)
        ]


def train_alone(workdir: pathlib.Path, data_dir: str, *, epochs: int = CONFIG.epochs) -> None:
    """The same run on one device, never stopped."""
    config = dataclasses.replace(
        CONFIG, epochs=epochs, data=dataclasses.replace(CONFIG.data, data_dir=data_dir)
    )
    loop.train(config, workdir, strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
    evaluate.evaluate(
        workdir, out=workdir / "report", data_dir=data_dir, command="", **worker_process.EVALUATED
    )


def assert_same(one: pathlib.Path, many: pathlib.Path, *, atol: float) -> None:
    """Metrics within `atol`; counts and confusion matrices of the report are equal."""
    for a, b in zip(rows_of(one), rows_of(many), strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose([*b.values()], [*a.values()], atol=atol, rtol=0, err_msg=str(b))
    a, b = (json.loads((path / "report" / "report.json").read_text()) for path in (one, many))
    for name, subset in a["subsets"].items():
        for key in ("count", "confusion"):
            assert subset[key] == b["subsets"][name][key], (name, key)
