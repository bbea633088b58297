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
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ran_tf import specs
from ran_tf.config import ModelCard, TrainConfig
from ran_tf.data import damage, pipeline
from ran_tf.training import (
    augment,
    checkpoints,
    faults,
    initialise,
    lock,
    meter,
    records,
    schedule,
    validation,
    workers,
)
from ran_tf.training import step as train_step


class Stopped(Exception):
    """The caller asked to stop; a checkpoint of the last step is written."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear of: each function is called with what its name says.

    Attributes:
      on_start: called once, when the work directory is ours and fits the run.
      on_step, on_epoch, on_message: of training.
      stop: asked after every step; true ends the run with a checkpoint.
    """

    on_start: Callable[[], None] = lambda: None
    on_step: Callable[[meter.StepReport], None] = lambda report: None
    on_epoch: Callable[[dict], None] = lambda row: None
    on_message: Callable[[str], None] = lambda text: None
    stop: Callable[[], bool] = lambda: False


def train(
    config: TrainConfig,
    workdir: str | os.PathLike,
    *,
    strategy: tf.distribute.Strategy | None = None,
    init_weights: str | None = None,
    hooks: Hooks | None = None,
    checkpoint_seconds: float = 300.0,
) -> dict:
    """Trains a network, or goes on where `workdir` stopped.

    Args:
      config: the run.
      workdir: directory of the run; made if absent.
      strategy: MirroredStrategy over all local devices when None.
      init_weights: see `initialise.init_weights`; not read when a run is resumed.
      hooks: progress callbacks.
      checkpoint_seconds: between checkpoints inside an epoch (0: after every step); every epoch
        ends with one.

    Returns:
      Metrics of the best epoch, as in best.json.

    Raises:
      Stopped: if `hooks.stop` asked for it.
      meter.NonFiniteLossError: at the first loss that is not finite; names the step.
      checkpoints.OtherRunError: if `workdir` holds a run of another configuration.
      checkpoints.BrokenCheckpointError: if it holds a run and no whole checkpoint.
      faults.OutOfMemoryError: if a step does not fit into memory.
      damage.DamagedDatasetError: for a file of the dataset that is missing, cut off or altered.
      RuntimeError: if another run is in `workdir`.
      OSError: if `workdir` cannot be written, is gone, or its disk is full.
      ValueError, FileNotFoundError: for a configuration or dataset that does not fit.
    """
    workdir = pathlib.Path(workdir)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = strategy or tf.distribute.MirroredStrategy()
    dataset = pipeline.open_dataset(config.data)
    chief = workers.is_chief(strategy)
    with lock.hold(workdir) if chief else contextlib.nullcontext(lambda: None) as check:
        run = _start(
            config,
            workdir,
            dataset=dataset,
            strategy=strategy,
            init_weights=init_weights,
            hooks=hooks or Hooks(),
            checkpoint_seconds=checkpoint_seconds,
            check=check,
        )
        with (
            damage.explained(dataset.builder),
            faults.memory_explained(batch_size=config.batch_size),
            contextlib.closing(run.writer),
        ):
            for epoch in range(run.progress.finished, config.epochs):
                _train_epoch(run, epoch)
        workers.wait_for_all(strategy)  # for what the chief still writes
        return records.read_best(workdir)


@dataclasses.dataclass(frozen=True)
class _Run:
    config: TrainConfig
    workdir: pathlib.Path
    strategy: tf.distribute.Strategy
    data: pipeline.TrainingData
    state: train_step.TrainState
    progress: checkpoints.Progress
    store: checkpoints.Store
    checkpoint_seconds: float
    hooks: Hooks
    step: Callable
    evaluate: Callable
    card: ModelCard
    writer: tf.summary.SummaryWriter


def _start(
    config, workdir, *, dataset, strategy, init_weights, hooks, checkpoint_seconds, check
) -> _Run:
    """A new run, or one that was taken up again."""
    keras.utils.set_random_seed(config.seed)
    data = pipeline.TrainingData(
        config.data,
        dataset,
        batch_size=config.batch_size,
        num_draws=augment.NUM_DRAWS + config.data.regions.k - 1,
        seed=config.seed,
    )
    _check_last_batch(config, faces=data.size, replicas=strategy.num_replicas_in_sync)
    several = workers.count(strategy) > 1
    arguments = {
        **config.model,
        "num_classes": len(dataset.labels),
        "synchronized": strategy.num_replicas_in_sync > 1,
    }
    with strategy.scope():
        state = train_step.create_state(arguments, optimizer=config.optimizer, freeze=config.freeze)
        progress = checkpoints.Progress()
    store = checkpoints.make_store(
        workdir,
        state,
        progress,
        identity=_identity(config, dataset, faces=data.size, init_weights=init_weights),
        check=check,
        writes=workers.is_chief(strategy),
    )
    # The chief first: it may remove a broken checkpoint.
    with workers.chief_first(strategy):
        resumed = checkpoints.restore(store, say=hooks.on_message)
    hooks.on_start()
    if resumed:
        hooks.on_message(f"resumed at step {progress.completed} from {workdir}")
    elif init_weights:
        _initialise(state, init_weights, hooks=hooks)
    workers.check_agreement(strategy, state.model.weights, step=progress.completed)
    run_config = dataclasses.replace(config, model=arguments)
    margin, drop = specs.CROPS.get(dataset.builder.name, (0.0, 0.0))
    card = ModelCard(
        dataset=dataset.builder.name,
        labels=dataset.labels,
        image_size=config.data.image_size,
        regions=config.data.regions,
        model=arguments,
        crop_margin=margin,
        crop_drop=drop,
    )
    return _Run(
        config=run_config,
        workdir=workdir,
        strategy=strategy,
        data=data,
        state=state,
        progress=progress,
        store=store,
        checkpoint_seconds=checkpoint_seconds,
        hooks=hooks,
        step=train_step.make_train_step(state, config=run_config, strategy=strategy),
        evaluate=validation.make_evaluate(
            state.ema,
            strategy=strategy,
            batches=workers.distribute(
                strategy,
                lambda share: pipeline.eval_batches(
                    config.data,
                    dataset,
                    split=config.data.validation_split,
                    batch_size=config.batch_size,
                    share=share,
                ),
            ),
            # A worker that left the others in the middle would not be waited for.
            stop=(lambda: False) if several else hooks.stop,
        ),
        card=card,
        writer=(
            tf.summary.create_file_writer(str(workdir / "tensorboard"))
            if store.writes
            else tf.summary.create_noop_writer()
        ),
    )


def _check_last_batch(config: TrainConfig, *, faces: int, replicas: int) -> None:
    """TensorFlow's convolutions on a CPU get the shape of a batch of no faces wrong."""
    last = faces % config.batch_size or config.batch_size
    if last < replicas:
        raise ValueError(
            f"`batch_size` must leave a face for each of {replicas} replicas in the last batch of "
            f"an epoch. Received: batch_size={config.batch_size}, which leaves {last} of {faces} "
            "faces"
        )


def _identity(config: TrainConfig, dataset, *, faces: int, init_weights: str | None) -> dict:
    """What a run that goes on must be equal in: all but where and how exactly it is computed."""
    identity = dataclasses.asdict(config)
    del identity["deterministic"], identity["data"]["data_dir"]
    return {
        **identity,
        "init_weights": init_weights,
        "dataset": dataset.version,
        "labels": dataset.labels,
        "train_faces": faces,
    }


def _initialise(state, source: str, *, hooks: Hooks):
    taken = initialise.init_weights(state.model, source)
    state.ema.set_weights(state.model.get_weights())
    hooks.on_message(
        f"{len(taken.loaded)} weights from {source}; "
        f"re-initialised: {', '.join(taken.fresh) or 'none'}"
    )


def _train_epoch(run: _Run, epoch: int) -> None:
    """Trains from where the epoch stands to its end, validates, and writes everything down."""
    first = run.progress.completed - epoch * run.data.steps_per_epoch
    batches = workers.distribute(
        run.strategy, lambda share: run.data.epoch(epoch, first_step=first, share=share)
    )
    # Traced for a batch of any size before it meets one: a graph for the size that comes first
    # rounds otherwise, and a resumed run begins with another batch.
    run.step.get_concrete_function(batches.element_spec, tf.TensorSpec([], tf.int64))
    epoch_meter = meter.Meter(
        run.progress,
        epoch=epoch,
        epochs=run.config.epochs,
        steps=run.data.steps_per_epoch,
        region_loss_weight=run.config.region_loss_weight,
    )
    last_step = (epoch + 1) * run.data.steps_per_epoch - 1
    last_save = time.monotonic()
    pending = None
    for number, batch in enumerate(batches, start=run.progress.completed):
        rate = _learning_rate(run, number)
        run.state.optimizer.learning_rate = rate
        sums = run.step(batch, tf.constant(number, tf.int64))
        # Sums are read one step late, so that an accelerator never waits for the host.
        if pending is not None:
            run.hooks.on_step(epoch_meter.add(*pending))
        pending = (number, rate, sums)
        stop = workers.any_asked(run.strategy, run.hooks.stop, step=number)
        # Not after the last step: the epoch's own checkpoint is about to come.
        due = number < last_step and time.monotonic() - last_save > run.checkpoint_seconds
        if stop or due:
            run.hooks.on_step(epoch_meter.add(*pending))
            pending = None
            _check_weights(run)
            checkpoints.save(run.store)
            last_save = time.monotonic()
        if stop:
            raise Stopped
    if pending is not None:
        run.hooks.on_step(epoch_meter.add(*pending))
    _finish_epoch(
        run,
        epoch=epoch,
        rate=_learning_rate(run, last_step),
        means=epoch_meter.means(),
        speed=epoch_meter.faces_per_second(),
    )


def _learning_rate(run: _Run, step: int) -> float:
    return schedule.learning_rate(
        step,
        total_steps=run.config.epochs * run.data.steps_per_epoch,
        config=run.config.optimizer,
    )


def _finish_epoch(run: _Run, *, epoch: int, rate: float, means: dict, speed: float) -> None:
    _check_weights(run)
    measured = run.evaluate()
    if measured is None:
        checkpoints.save(run.store)
        raise Stopped
    row = {
        "epoch": epoch + 1,
        "step": run.progress.completed,
        "learning_rate": rate,
        **means,
        **measured,
        "faces_per_second": speed,
    }
    best = records.read_best(run.workdir)
    write_best = None
    if best is None or row["validation_accuracy"] > best["validation_accuracy"]:
        write_best = functools.partial(
            records.save_best, model=run.state.ema, card=run.card, metrics=row
        )
    run.progress.sums.assign(tf.zeros_like(run.progress.sums))
    run.progress.epoch.assign(epoch + 1)
    with faults.writing_explained("scalars", run.workdir / "tensorboard"):
        records.write_scalars(run.writer, row)
    checkpoints.save(run.store, row=row, best=write_best)
    run.hooks.on_epoch(row)


def _check_weights(run: _Run) -> None:
    """A loss is finite one step longer than the weights that it will be computed from."""
    for weight in run.state.model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise meter.NonFiniteLossError(
                f"{weight.path} is not finite after step {run.progress.completed - 1}. The last "
                "checkpoint is from before; lower --learning_rate or set --clip_norm in another "
                "--workdir."
            )
