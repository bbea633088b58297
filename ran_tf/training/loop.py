"""The training loop: one path for one device and for many.

The work directory is described in `records`. A run that was killed goes on from its last
checkpoint: data order is a function of seed and epoch, random draws of seed and position.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from typing import Any, NoReturn

import keras
import numpy as np

from ran_tf.config import TrainConfig
from ran_tf.data import opening
from ran_tf.data.share import WHOLE
from ran_tf.faces.framing import Framing
from ran_tf.training import checkpoints, faults, lock, meter, schedule, splits
from ran_tf.training.engine import chief_first, is_writer
from ran_tf.training.run import Hooks, Run, start
from ran_tf.weights import records


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a run leaves.

    Attributes:
      workdir: its directory, which `ran_tf.Predictor` and every command take for a model.
      weights: the file of the weights of the epoch that is kept.
      metrics: of that epoch, by name, as in best.json: "epoch", "loss", "validation_accuracy" ...
    """

    workdir: pathlib.Path
    weights: pathlib.Path
    metrics: dict


class Stopped(Exception):
    """The caller asked to stop; a checkpoint of the last step is written."""


def train(
    config: TrainConfig,
    workdir: str | os.PathLike,
    *,
    strategy: Any = None,
    init_weights: str | None = None,
    hooks: Hooks | None = None,
    checkpoint_seconds: float = 300.0,
    framing: Framing | None = None,
    tested: bool = False,
) -> TrainedRun:
    """Trains a network, or continues the run in `workdir`.

    Runs on Keras' backend, TensorFlow or JAX. The drawn "synthetic_faces" are prepared on
    first use; other datasets by `ran_tf.prepare`.

    Args:
      config: settings of the run.
      workdir: directory of the run; made if absent.
      strategy: tf.distribute strategy, on TensorFlow; all devices of the machine when None.
      init_weights: a preset, work directory or .weights.h5 file to start from. It is not read when
        a run is resumed.
      hooks: callbacks; a line is printed for every epoch and message when None.
      checkpoint_seconds: seconds between checkpoints inside an epoch (0: after every step). Every
        epoch ends with one.
      framing: how the training faces were cut out of photos, for the card. None takes the framing
        of the dataset, or else that of the network that the run starts from.
      tested: whether the run is evaluated on the test split later. Training on test faces is then
        an error.

    Returns:
      `TrainedRun`: the weights of the epoch that is kept, and its metrics.

    Raises:
      Stopped: if `hooks.stop` asked for it.
      meter.NonFiniteLossError: at the first loss that is not finite; the error names the step.
      checkpoints.OtherRunError: if `workdir` holds a run of another configuration.
      checkpoints.BrokenCheckpointError: if `workdir` holds a run, but no whole checkpoint.
      faults.OutOfMemoryError: if a step does not fit into memory.
      dataset.DamagedDatasetError: for a file of the dataset that is missing, cut off or altered.
      RuntimeError: if another run is in `workdir`.
      OSError: if `workdir` cannot be written, is gone, or its disk is full.
      ValueError, FileNotFoundError: for a configuration or dataset that does not fit.

    Example:
      >>> config = ran_tf.TrainConfig(
      ...     data=ran_tf.DataConfig(train_split="train[:64]", validation_split="validation[:64]"),
      ...     model=ran_tf.ModelConfig(backbone="mobilenet_v1", size=(32, 32)),
      ...     epochs=1,
      ... )
      >>> run = ran_tf.train(config, workdir="run", hooks=ran_tf.Hooks())
      >>> run.metrics["epoch"], run.weights.name
      (1, 'best.weights.h5')
    """
    workdir = pathlib.Path(workdir).expanduser()
    writes = is_writer(strategy)
    if hooks is None:  # all workers know the same numbers; one tells them
        hooks = (
            Hooks(on_epoch=lambda row: print(meter.epoch_line(row)), on_message=print)
            if writes
            else Hooks()
        )
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    opening.prepare_if_drawn(config.data, turn=chief_first(strategy))
    dataset = opening.open_dataset(config.data)
    splits.check(config, dataset, tested=tested, say=hooks.on_message)
    with lock.hold(workdir) if writes else contextlib.nullcontext(lambda: None) as check:
        run = start(
            config,
            workdir,
            dataset=dataset,
            strategy=strategy,
            init_weights=init_weights,
            hooks=hooks,
            checkpoint_seconds=checkpoint_seconds,
            check=check,
            framing=framing,
        )
        with (
            dataset.damage_explained(),
            faults.memory_explained(config.batch_size),
            contextlib.closing(run.scalars),
        ):
            for epoch in range(run.progress.epoch, config.epochs):
                _train_epoch(run, epoch)
        run.engine.wait_for_all()  # for what the chief still writes
        kept = records.read_best(workdir) or {}
        return TrainedRun(workdir=workdir, weights=workdir / records.BEST_WEIGHTS, metrics=kept)


def _train_epoch(run: Run, epoch: int) -> None:
    """Trains from where the epoch stands to its end, validates, and writes everything down."""
    first = run.progress.step - epoch * run.data.steps_per_epoch
    batches = run.engine.batches(
        lambda share=WHOLE: run.data.epoch(epoch, first_step=first, share=share)
    )
    epoch_meter = meter.Meter(
        run.progress,
        epoch=epoch,
        epochs=run.config.epochs,
        steps=run.data.steps_per_epoch,
        config=run.config.objective,
    )
    last_step = (epoch + 1) * run.data.steps_per_epoch - 1
    last_save = time.monotonic()
    pending = None
    for number, batch in enumerate(batches, start=run.progress.step):
        sums = run.engine.step(batch, number=number, rate=_learning_rate(run, number))
        # Sums are read one step late, so that an accelerator never waits for the host.
        if pending is not None:
            run.hooks.on_step(epoch_meter.add(*pending))
        pending = (number, sums)
        stop = run.engine.any_asked(run.hooks.stop, step=number)
        # Not after the last step: the epoch's own checkpoint is about to come.
        due = number < last_step and time.monotonic() - last_save > run.checkpoint_seconds
        if stop or due:
            run.hooks.on_step(epoch_meter.add(*pending))
            pending = None
            _check_weights(run)
            checkpoints.save(run.store)
            last_save = time.monotonic()
        if stop:
            _stop(run)
    if pending is not None:
        run.hooks.on_step(epoch_meter.add(*pending))
    _finish_epoch(
        run,
        epoch=epoch,
        rate=_learning_rate(run, last_step),
        means=epoch_meter.means(),
        speed=epoch_meter.faces_per_second(),
    )


def _stop(run: Run) -> NoReturn:
    run.engine.wait_for_all()  # for the checkpoint, which the chief writes
    raise Stopped


def _learning_rate(run: Run, step: int) -> float:
    return schedule.learning_rate(
        step,
        total_steps=run.config.epochs * run.data.steps_per_epoch,
        config=run.config.optimizer,
    )


def _finish_epoch(run: Run, *, epoch: int, rate: float, means: dict, speed: float) -> None:
    _check_weights(run)
    measured = run.evaluate()
    if measured is None:
        checkpoints.save(run.store)
        _stop(run)
    row = {
        "epoch": epoch + 1,
        "step": run.progress.step,
        "learning_rate": rate,
        **means,
        **measured,
        "faces_per_second": speed,
    }
    best = records.read_best(run.workdir)
    write_best = None
    if run.config.keep == "last" or best is None or _is_better(row, best):
        write_best = functools.partial(
            records.save_best, model=run.engine.state.ema, card=run.card, metrics=row
        )
    run.progress.sums = np.zeros_like(run.progress.sums)
    run.progress.epoch = epoch + 1
    if run.engine.writes:
        with faults.writing_explained("scalars", run.workdir / "tensorboard"):
            run.scalars.write(row)
    checkpoints.save(run.store, row=row, best=write_best)
    run.hooks.on_epoch(row)


def _is_better(row: dict, best: dict) -> bool:
    """More faces are right; of equal epochs, by the cross-entropy: a small split has many ties."""
    a, b = row["validation_accuracy"], best["validation_accuracy"]
    entropies = (row["validation_cross_entropy"], best["validation_cross_entropy"])
    return a > b or (a == b and entropies[0] < entropies[1])


def _check_weights(run: Run) -> None:
    """A loss is finite one step longer than the weights that it will be computed from."""
    run.engine.sync()
    for weight in run.engine.state.model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise meter.NonFiniteLossError(
                f"{weight.path} is not finite after step {run.progress.step - 1}. The last "
                "checkpoint is from before that. Lower --learning_rate or set --clip_norm in "
                "another --workdir."
            )
