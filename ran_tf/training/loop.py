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

from ran_tf import losses, specs
from ran_tf.config import ModelCard, TrainConfig
from ran_tf.data import pipeline
from ran_tf.training import augment, checkpoints, initialise, meter, schedule
from ran_tf.training import step as train_step

# Seconds between checkpoints inside an epoch; every epoch ends with one.
_CHECKPOINT_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear of: each function is called with what its name says."""

    on_step: Callable[[meter.StepReport], None] = lambda report: None
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
      meter.NonFiniteLossError: at the first loss that is not finite; names the step.
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
        num_draws=augment.NUM_DRAWS + config.data.regions.k - 1,
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
        state = train_step.create_state(arguments, optimizer=config.optimizer, freeze=config.freeze)
        progress = checkpoints.Progress()
    manager = checkpoints.make_manager(workdir, state, progress)
    if manager.latest_checkpoint:
        manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        hooks.on_message(f"resumed at step {progress.completed} from {workdir}")
    elif init_weights:
        _initialise(state, init_weights, hooks=hooks)
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
        rate = schedule.learning_rate(
            number,
            total_steps=run.config.epochs * run.data.steps_per_epoch,
            config=run.config.optimizer,
        )
        run.state.optimizer.learning_rate = rate
        sums = run.step(batch, tf.constant(number, tf.int64))
        # Sums are read one step late, so that an accelerator never waits for the host.
        if pending is not None:
            run.hooks.on_step(epoch_meter.add(*pending))
        pending = (number, rate, sums)
        # Not after the last step: a run resumed from there would never validate this epoch.
        if number < last_step and time.monotonic() - last_save > _CHECKPOINT_SECONDS:
            run.hooks.on_step(epoch_meter.add(*pending))
            pending = None
            _check_weights(run)
            run.manager.save()
            last_save = time.monotonic()
    if pending is not None:
        run.hooks.on_step(epoch_meter.add(*pending))
    _finish_epoch(
        run,
        epoch=epoch,
        rate=rate,
        means=epoch_meter.means(),
        speed=epoch_meter.faces_per_second(),
    )


def _finish_epoch(run: _Run, *, epoch: int, rate: float, means: dict, speed: float) -> None:
    _check_weights(run)
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


def _check_weights(run: _Run) -> None:
    """A loss is finite one step longer than the weights that it will be computed from."""
    for weight in run.state.model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise meter.NonFiniteLossError(
                f"{weight.path} is not finite after step {run.progress.completed - 1}. The last "
                "checkpoint is from before; lower --learning_rate or set --clip_norm, and start "
                "again from it."
            )


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
