"""Kills a tiny training run again and again, and says whether it came out like one never killed.

    python -m tests.kill_harness DATA_DIR OUT --chains=8 --kills=4

Each process is forked from this one, which has imported TensorFlow and not started it, and ends by
a real SIGKILL: at a line of what writes and reads checkpoints, while TensorFlow writes one, after
a step, or at any moment at all. A chain of such processes shares a work directory; then one runs to
its end. Prints JSON: {"kills": [[kind, where], ...], "differences": [...], "largest": x}, what
differs by more than `--atol` (0: by a bit), losses after every step included, and by how much.
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

import h5py
import numpy as np
import tensorflow as tf

from ran_tf import files
from ran_tf.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RegionConfig,
    TrainConfig,
)
from ran_tf.training import checkpoints, loop, manifest, records
from tests import tiny_backbone  # noqa: F401, registers it

# Everything random is on: dropout, random regions, two occluders, blur and noise.
EPOCHS, STEPS, FACES = 3, 3, 20
CONFIG = TrainConfig(
    data=DataConfig(
        image_size=(16, 16),
        train_split=f"train[:{FACES}]",
        validation_split="validation[:12]",
        regions=RegionConfig(kind="random", k=3),
    ),
    objective=ObjectiveConfig(augment=AugmentConfig(erase=0.5, degrade=0.5)),
    model=ModelConfig(backbone="tiny", size=(16, 16), dropout=0.3),
    optimizer=OptimizerConfig(learning_rate=0.01, ema=0.9),
    epochs=EPOCHS,
    batch_size=-(-FACES // STEPS),
    deterministic=True,
)
_TRACED = {module.__file__ for module in (checkpoints, manifest, records, files)}
KINDS = ("line", "write", "step", "time")


def run(workdir, arguments, *, kill: tuple[str, float] | None) -> int:
    """Trains in a forked process; returns the signal that ended it, 0 for none.

    Args:
      workdir: of the run; its losses go to a file beside it.
      arguments: of this program.
      kill: kind of the kill, and when, in 0..1 of what the process has before it.
    """
    child = os.fork()
    if child == 0:
        _train(workdir, arguments, kill=kill)
    if kill and kill[0] == "time":
        time.sleep(2.0 + kill[1] * 8.0)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"training failed: {_log(arguments).read_text()[-3000:]}")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _log(arguments) -> pathlib.Path:
    """What all processes say."""
    return arguments.out / "log"


def _losses(workdir: pathlib.Path) -> pathlib.Path:
    """ "EPOCH STEP LOSS" of every step that any process of the run has done."""
    return workdir.with_name(f"{workdir.name}.losses")


def _train(workdir, arguments, *, kill):
    code = 1
    try:
        with _log(arguments).open("a") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        trap = _set_trap(kill) if kill else lambda report: None

        def on_step(report):
            with _losses(workdir).open("a") as file:
                print(report.epoch, report.step, float(report.means["loss"]), file=file)
            trap(report)

        devices = [tf.config.LogicalDeviceConfiguration()] * arguments.replicas
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], devices
        )
        data = dataclasses.replace(CONFIG.data, data_dir=arguments.data_dir)
        loop.train(
            dataclasses.replace(CONFIG, data=data),
            workdir,
            strategy=tf.distribute.MirroredStrategy(
                [f"CPU:{i}" for i in range(arguments.replicas)]
            ),
            hooks=loop.Hooks(on_message=print, on_step=on_step),
            checkpoint_seconds=0,
        )
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die(where: str) -> None:
    print("killed at", where, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _set_trap(kill):
    """Arms the kill; returns what is to be called after every step."""
    kind, moment = kill
    if kind == "step":
        left = [1 + int(moment * 4)]

        def on_step(report):
            left[0] -= 1
            if left[0] == 0:
                _die(f"epoch {report.epoch} step {report.step}")

        return on_step
    if kind == "write":
        _patch_write(moment)
    if kind == "line":
        _patch_lines(1 + int(moment * 900))
    return lambda report: None


def _patch_write(moment: float) -> None:
    """Dies in one of the next writes of a state, some microseconds after it began."""
    left, write = [1 + int(moment * 4)], np.savez

    def patched(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            delay = (moment * 4) % 1 * 0.03
            threading.Timer(delay, _die, args=(f"{1000 * delay:.1f} ms into a write",)).start()
        return write(*args, **kwargs)

    np.savez = patched


def _patch_lines(count: int) -> None:
    """Dies before the line number `count` of those that restoring and saving execute."""
    left = [count]

    def trace(frame, event, _):
        if frame.f_code.co_filename not in _TRACED:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                _die(f"{pathlib.Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return trace

    def traced(function):
        def call(*args, **kwargs):
            sys.settrace(trace)
            try:
                return function(*args, **kwargs)
            finally:
                sys.settrace(None)

        return call

    for name in ("save", "restore"):
        setattr(checkpoints, name, traced(getattr(checkpoints, name)))


def check_whole(workdir: pathlib.Path) -> None:
    """What a killed run has left is whole or absent, whenever it was killed."""
    for folder in workdir.glob("checkpoints/step-*"):
        manifest.check(folder)
    if (workdir / records.METRICS).exists():
        rows = list(csv.DictReader((workdir / records.METRICS).open()))
        assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1)), rows
    if (workdir / records.BEST).exists():
        weights = (workdir / records.BEST_WEIGHTS).read_bytes()
        # best.json is beside the weights that it describes: a checkpoint has both.
        assert any(
            (folder / records.BEST).exists()
            and (folder / records.BEST).read_bytes() == (workdir / records.BEST).read_bytes()
            and (folder / records.BEST_WEIGHTS).read_bytes() == weights
            for folder in workdir.glob("checkpoints/step-*")
        )
    if (workdir / records.BEST_WEIGHTS).exists():
        assert (workdir / records.CARD).exists()


def contents(workdir: pathlib.Path) -> dict[str, object]:
    """All that a finished run holds, by name, as arrays; without what clocks say."""
    found: dict[str, object] = {}
    newest = max(workdir.glob("checkpoints/step-*"))
    with np.load(newest / "state.npz") as state:
        found |= {f"state {name}": state[name] for name in state}
    with (workdir / records.METRICS).open(newline="") as file:
        for row in csv.DictReader(file):
            row.pop("faces_per_second")
            found[f"metrics of epoch {row['epoch']}"] = np.array([float(x) for x in row.values()])
    best = json.loads((workdir / records.BEST).read_text())
    best.pop("faces_per_second")
    found["best"] = np.array([float(x) for x in best.values()])

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[f"best weights {name}"] = item[()]

    with h5py.File(workdir / records.BEST_WEIGHTS) as file:
        file.visititems(visit)
    for line in _losses(workdir).read_text().splitlines():
        epoch, step, loss = line.split()
        found.setdefault(f"losses after step {step} of epoch {epoch}", []).append(float(loss))
    found["files"] = np.array(sorted(p.name for p in workdir.iterdir()))
    found["checkpoints"] = np.array(sorted(p.name for p in (workdir / "checkpoints").iterdir()))
    return found


def difference(one, other) -> float:
    """The largest between two entries of `contents`: 0 where all bits are the same."""
    if isinstance(one, list):  # a step that was done again lost the same
        return max(difference(np.array(one[0]), np.array(x)) for x in [*one, *other])
    if one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes():
        return 0.0
    if one.dtype.kind != "f" or one.shape != other.shape:
        return np.inf
    apart = np.abs(one.astype(np.float64) - other).max()
    return max(float(apart), np.finfo(np.float64).tiny)  # -0.0 equals 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--atol", type=float, default=0.0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw, kinds = random.Random(arguments.seed), arguments.kinds.split(",")
    whole, log = arguments.out / "whole", _log(arguments)
    run(whole, arguments, kill=None)
    killed, count = [], 0
    folders = [arguments.out / f"chain{i}" for i in range(arguments.chains)]
    for folder in folders:
        for _ in range(arguments.kills):
            kill = (kinds[count % len(kinds)], draw.random())
            count += 1
            before = log.stat().st_size
            if not run(folder, arguments, kill=kill):
                continue  # it came to its end before its kill
            said = log.read_text()[before:].rpartition("killed at ")
            killed.append([kill[0], said[2].strip() if said[1] else f"moment {kill[1]:.2f}"])
            check_whole(folder)
        run(folder, arguments, kill=None)
    expected, apart = contents(whole), {}
    for folder in folders:
        got = contents(folder)
        for name in sorted(expected.keys() | got.keys()):
            both = name in expected and name in got
            apart[f"{folder.name}: {name}"] = (
                difference(expected[name], got[name]) if both else np.inf
            )
    print(
        json.dumps(
            {
                "kills": killed,
                "compared": len(expected),
                "differences": [name for name, x in apart.items() if not x <= arguments.atol],
                "largest": max(apart.values()),
            }
        )
    )


if __name__ == "__main__":
    main()
