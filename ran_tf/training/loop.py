"""The training loop: one path for one device and for many.

The work directory is described in `checkpoints`. A run that was killed goes on from its last
checkpoint: data order is a function of seed and epoch, random draws of seed and position.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ran_tf import losses
from ran_tf.config import ModelCard, TrainConfig
from ran_tf.data import pipeline
from ran_tf.training import augment, checkpoints, initialise, schedule
from ran_tf.training import step as train_step

# Seconds between checkpoints inside an epoch; every epoch ends with one.
_CHECKPOINT_SECONDS = 300.0


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the last good checkpoint is intact."""


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What a progress display shows after a step.

    Attributes:
      epoch, epochs, step, steps: 1-based positions and totals (step within its epoch).
      loss, cross_entropy, region_loss, accuracy: means over the epoch so far.
      faces_per_second: over the epoch so far, this process.
      learning_rate: of this step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    cross_entropy: float
    region_loss: float
    accuracy: float
    faces_per_second: float
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear of: each function is called with what its name says."""

    on_step: Callable[[StepReport], None] = lambda report: None
    on_epoch: Callable[[dict], None] = lambda row: None
    on_message: Callable[[str], None] = lambda text: None


def train(
    config: TrainConfig,
    workdir: str | os.PathLike,
    *,
    strategy: tf.distribute.Strategy | None = None,
    init_weights: str | None = None,
    hooks: Hooks | None = None,
) -> dict:
    """Trains a network, or goes on where `workdir` stopped.

    Args:
      config: the run.
      workdir: directory of the run; made if absent.
      strategy: MirroredStrategy over all local devices when None.
      init_weights: see `initialise.init_weights`; not read when a run is resumed.
      hooks: progress callbacks.

    Returns:
      Metrics of the best epoch, as in best.json.

    Raises:
      NonFiniteLossError: at the first loss that is not finite; names the step.
      ValueError, FileNotFoundError: for a configuration or dataset that does not fit.
    """
    hooks = hooks or Hooks()
    workdir = pathlib.Path(workdir)
    strategy = strategy or tf.distribute.MirroredStrategy()
    keras.utils.set_random_seed(config.seed)
    dataset = pipeline.open_dataset(config.data)
    data = pipeline.TrainingData(
        config.data,
        dataset,
        batch_size=config.batch_size,
        num_draws=augment.NUM_DRAWS,
        seed=config.seed,
    )
    validation = pipeline.eval_batches(
        config.data, dataset, split=config.data.validation_split, batch_size=config.batch_size
    )
    validation = strategy.experimental_distribute_dataset(validation)
    arguments = {
        **config.model,
        "num_classes": len(dataset.labels),
        "synchronized": strategy.num_replicas_in_sync > 1,
    }
    with strategy.scope():
        state = train_step.create_state(arguments, optimizer=config.optimizer)
        progress = checkpoints.Progress()
    manager = checkpoints.make_manager(workdir, state, progress)
    if manager.latest_checkpoint:
        manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        hooks.on_message(f"resumed at step {progress.completed} from {workdir}")
    elif init_weights:
        _initialise(state, init_weights, hooks=hooks)
    run_config = dataclasses.replace(config, model=arguments)
    card = ModelCard(
        dataset=dataset.builder.name,
        labels=dataset.labels,
        image_size=config.data.image_size,
        regions=config.data.regions,
        model=arguments,
    )
    run = _Run(
        config=run_config,
        workdir=workdir,
        strategy=strategy,
        data=data,
        state=state,
        progress=progress,
        manager=manager,
        hooks=hooks,
        step=train_step.make_train_step(state, config=run_config, strategy=strategy),
        evaluate=_make_evaluate(state.ema, strategy=strategy, batches=validation),
        card=card,
        writer=tf.summary.create_file_writer(str(workdir / "tensorboard")),
    )
    for epoch in range(progress.completed // data.steps_per_epoch, config.epochs):
        _train_epoch(run, epoch)
    return checkpoints.read_best(workdir)


@dataclasses.dataclass(frozen=True)
class _Run:
    config: TrainConfig
    workdir: pathlib.Path
    strategy: tf.distribute.Strategy
    data: pipeline.TrainingData
    state: train_step.TrainState
    progress: checkpoints.Progress
    manager: tf.train.CheckpointManager
    hooks: Hooks
    step: Callable
    evaluate: Callable
    card: ModelCard
    writer: tf.summary.SummaryWriter


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
    batches = run.strategy.experimental_distribute_dataset(run.data.epoch(epoch, first_step=first))
    meter = _Meter(run, epoch=epoch)
    last_step = (epoch + 1) * run.data.steps_per_epoch - 1
    last_save = time.monotonic()
    pending = None
    for number, batch in enumerate(batches, start=run.progress.completed):
        rate = schedule.learning_rate(
            number,
            total_steps=run.config.epochs * run.data.steps_per_epoch,
            config=run.config.optimizer,
        )
        run.state.optimizer.learning_rate = rate
        sums = run.step(batch, tf.constant(number, tf.int64))
        # Sums are read one step late, so that an accelerator never waits for the host.
        if pending is not None:
            meter.add(*pending)
        pending = (number, rate, sums)
        # Not after the last step: a run resumed from there would never validate this epoch.
        if number < last_step and time.monotonic() - last_save > _CHECKPOINT_SECONDS:
            meter.add(*pending)
            pending = None
            run.manager.save()
            last_save = time.monotonic()
    if pending is not None:
        meter.add(*pending)
    _finish_epoch(
        run,
        epoch=epoch,
        rate=rate,
        means=meter.means(),
        speed=meter.faces_per_second(),
    )


class _Meter:
    """Adds up an epoch's sums, checks them and moves the run's progress on."""

    def __init__(self, run: _Run, *, epoch: int):
        self._run, self._epoch = run, epoch
        self._sums = run.progress.sums.numpy()
        self._faces_before = self._sums[0]
        self._start = time.monotonic()

    def add(self, number: int, rate: float, sums: dict) -> None:
        new = np.asarray([float(sums[name]) for name in train_step.SUMS])
        if not np.isfinite(new).all():
            raise NonFiniteLossError(
                f"the loss is not finite at step {number} (epoch {self._epoch + 1}): "
                f"{dict(zip(train_step.SUMS, new.tolist(), strict=True))}. The last checkpoint, "
                f"{self._run.manager.latest_checkpoint}, is from before; lower "
                "--learning_rate, or set --clip_norm, and start again from it."
            )
        self._sums = self._sums + new
        self._run.progress.sums.assign(self._sums)
        self._run.progress.step.assign(number + 1)
        steps = self._run.data.steps_per_epoch
        self._run.hooks.on_step(
            StepReport(
                epoch=self._epoch + 1,
                epochs=self._run.config.epochs,
                step=number + 1 - self._epoch * steps,
                steps=steps,
                faces_per_second=self.faces_per_second(),
                learning_rate=rate,
                **self.means(),
            )
        )

    def means(self) -> dict[str, float]:
        _, entropy, region, correct = self._sums / max(1.0, self._sums[0])
        return {
            "loss": entropy + self._run.config.region_loss_weight * region,
            "cross_entropy": entropy,
            "region_loss": region,
            "accuracy": correct,
        }

    def faces_per_second(self) -> float:
        return (self._sums[0] - self._faces_before) / max(1e-9, time.monotonic() - self._start)


def _finish_epoch(run: _Run, *, epoch: int, rate: float, means: dict, speed: float) -> None:
    row = {
        "epoch": epoch + 1,
        "step": run.progress.completed,
        "learning_rate": rate,
        **means,
        **run.evaluate(),
        "faces_per_second": speed,
    }
    best = checkpoints.read_best(run.workdir)
    if best is None or row["validation_accuracy"] > best["validation_accuracy"]:
        checkpoints.save_best(run.workdir, model=run.state.ema, card=run.card, metrics=row)
    checkpoints.append_metrics(run.workdir, row)
    _write_scalars(run.writer, row)
    run.progress.sums.assign(tf.zeros_like(run.progress.sums))
    run.manager.save()
    run.hooks.on_epoch(row)


def _write_scalars(writer, row: dict) -> None:
    """Scalars for TensorBoard; `tf.summary.scalar` would need TensorBoard itself installed."""
    values = [tf.compat.v1.Summary.Value(tag=n, simple_value=v) for n, v in row.items()]
    summary = tf.compat.v1.Summary(value=values)
    with writer.as_default(step=row["epoch"]):
        tf.summary.experimental.write_raw_pb(summary.SerializeToString())
    writer.flush()


def _make_evaluate(model, *, strategy, batches) -> Callable[[], dict[str, float]]:
    """Accuracy and cross-entropy over the validation split."""

    def replica_sums(batch):
        outputs = model({name: batch[name] for name in ("image", "boxes", "mask")})
        hits = tf.equal(tf.argmax(outputs["logits"], axis=-1), batch["label"])
        entropy = losses.cross_entropy(
            outputs["logits"], tf.one_hot(batch["label"], outputs["logits"].shape[-1])
        )
        return tf.stack(
            [
                tf.cast(tf.size(batch["label"]), tf.float32),
                tf.reduce_sum(tf.cast(hits, tf.float32)),
                tf.reduce_sum(entropy),
            ]
        )

    @tf.function(reduce_retracing=True)
    def sums(batch):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(replica_sums, args=(batch,)), axis=None
        )

    def evaluate() -> dict[str, float]:
        total = np.zeros(3)
        for batch in batches:
            total += sums(batch).numpy()
        faces, correct, entropy = total
        faces = max(1.0, faces)
        return {
            "validation_accuracy": correct / faces,
            "validation_cross_entropy": entropy / faces,
        }

    return evaluate
