"""A run before its first step: everything the loop needs, new or taken up again."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ran_tf import settings
from ran_tf.config import TrainConfig
from ran_tf.data import opening
from ran_tf.data.dataset import Dataset
from ran_tf.data.lesson import Lesson
from ran_tf.data.share import WHOLE
from ran_tf.faces.framing import Framing
from ran_tf.models import objective
from ran_tf.training import checkpoints, initialise, meter, teacher
from ran_tf.training.engine import Engine, make_engine
from ran_tf.weights import records, sources
from ran_tf.weights.card import ModelCard


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Callbacks of a run. All do nothing by default.

    Attributes:
      on_start: called once, when the work directory is locked and belongs to this run.
      on_step: called after every step with a `StepReport`: epoch, step, means so far, speed.
      on_epoch: called after every epoch with its row of metrics.csv.
      on_message: called with messages for the user, such as the step at which the run resumes.
      stop: called after every step. If it returns true, the run ends with a checkpoint and
        `loop.Stopped`.

    Example:
      >>> losses = []
      >>> hooks = ran_tf.Hooks(on_epoch=lambda row: losses.append(row["loss"]))
    """

    on_start: Callable[[], None] = lambda: None
    on_step: Callable[[meter.StepReport], None] = lambda report: None
    on_epoch: Callable[[dict], None] = lambda row: None
    on_message: Callable[[str], None] = lambda text: None
    stop: Callable[[], bool] = lambda: False


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run consists of while it trains.

    Attributes:
      config, workdir, checkpoint_seconds, hooks: as `start` was given them.
      data: the training split, epoch by epoch.
      engine: of the backend, with the state.
      progress: steps and epochs that are done.
      store: of checkpoints.
      evaluate: `evaluate()` gives the numbers of the validation split, None where it was stopped.
      card: what `records.save_best` writes beside the weights.
      scalars: for TensorBoard.
    """

    config: TrainConfig
    workdir: pathlib.Path
    data: opening.TrainingData
    engine: Engine
    progress: checkpoints.Progress
    store: checkpoints.Store
    checkpoint_seconds: float
    hooks: Hooks
    evaluate: Callable[[], dict | None]
    card: ModelCard
    scalars: records.Scalars


def start(
    config: TrainConfig,
    workdir: pathlib.Path,
    *,
    dataset: Dataset,
    strategy: Any,
    init_weights: str | None,
    hooks: Hooks,
    checkpoint_seconds: float,
    check: Callable[[], None],
    framing: Framing | None = None,
) -> Run:
    """A new run, or one that was taken up again.

    Args:
      config: the run.
      workdir: directory of the run.
      dataset: opened, that of `config.data`.
      strategy: see `engine.make_engine`.
      init_weights: what a new run starts from, see `initialise.init_weights`.
      hooks: progress callbacks.
      checkpoint_seconds: between checkpoints inside an epoch.
      check: raises an OSError if the work directory is gone.
      framing: of the training faces; see `_find_framing` for None.

    Raises:
      checkpoints.OtherRunError: if `workdir` holds a run of another configuration.
      checkpoints.BrokenCheckpointError: if it holds a run and no whole checkpoint.
      RuntimeError: if several workers do not start from one state.
      ValueError, FileNotFoundError: for a configuration, dataset or weights that do not fit.
    """
    keras.utils.set_random_seed(config.seed)
    data = opening.training_data(
        config.data, dataset, batch_size=config.batch_size, seed=config.seed
    )
    arguments = {**dataclasses.asdict(config.model), "num_classes": len(dataset.labels)}
    engine = make_engine(config, arguments, strategy=strategy)
    _check_last_batch(config, faces=data.size, replicas=engine.replicas)
    progress = checkpoints.Progress(sums=np.zeros(len(objective.sum_names(config.objective))))
    identity = _identity(config, dataset, data=data, init_weights=init_weights)
    store = checkpoints.Store(workdir, engine, progress, identity=identity, check=check)
    # The chief first: it may remove a broken checkpoint.
    with engine.chief_first():
        resumed = checkpoints.restore(store, say=hooks.on_message)
    hooks.on_start()
    if engine.writes:
        records.add_start(workdir, config, identity={**identity, "init_weights": init_weights})
    if resumed:
        hooks.on_message(f"resumed at step {progress.step} from {workdir}")
    elif init_weights:
        _initialise(engine, init_weights, labels=dataset.labels, hooks=hooks)
    engine.check_agreement(step=progress.step)
    data.lesson = _lesson(config, dataset, workdir, data=data, engine=engine, hooks=hooks)
    return Run(
        config=config,
        workdir=workdir,
        data=data,
        engine=engine,
        progress=progress,
        store=store,
        checkpoint_seconds=checkpoint_seconds,
        hooks=hooks,
        evaluate=_make_evaluate(config, dataset, engine=engine, hooks=hooks),
        card=dataset.card(
            config.data,
            model=arguments,
            loss_margin=config.objective.margin,
            framing=framing
            or _find_framing(dataset, workdir, init_weights=init_weights, say=hooks.on_message),
        ),
        scalars=records.Scalars(workdir / "tensorboard"),
    )


def _make_evaluate(config: TrainConfig, dataset, *, engine: Engine, hooks: Hooks):
    if not config.data.validation_split:
        return dict

    def batches(share=WHOLE):
        return opening.eval_batches(
            config.data,
            dataset,
            split=config.data.validation_split,
            batch_size=config.batch_size,
            share=share,
        )

    def stop(number: int) -> bool:
        return engine.any_asked(hooks.stop, step=number)

    return lambda: engine.validate(batches, stop=stop)


def _find_framing(
    dataset: Dataset,
    workdir: pathlib.Path,
    *,
    init_weights: str | None,
    say: Callable[[str], None],
) -> Framing:
    """How the training faces were cut out of photos.

    That is what the dataset says. Where it says nothing: what the run's own card says, or else the
    card of the network that the run starts from, or else that of `align` without its flags.
    """
    known = dataset.framing()
    if known:
        return known
    framing, where = Framing(), ""
    for read, source in ((records.read_card, workdir), (sources.read_card, init_weights)):
        try:
            card = read(source) if source else None
        except FileNotFoundError:
            # A run without a finished epoch; or one that goes on, and needs its source no more.
            continue
        if card:
            framing = Framing(margin=card.crop_margin, drop=card.crop_drop)
            where = f", like the faces of {source}"
            break
    say(
        f"{dataset.full_name} does not say how its faces were cut out of photos. Photos for this "
        f"network will be cut with margin {framing.margin:g} and drop {framing.drop:g}{where}. To "
        "change that, set --crop_margin and --crop_drop"
    )
    return framing


def _check_last_batch(config: TrainConfig, *, faces: int, replicas: int) -> None:
    """TensorFlow's convolutions on a CPU get the shape of a batch of no faces wrong."""
    last = faces % config.batch_size or config.batch_size
    if last < replicas:
        raise ValueError(
            f"`batch_size` must leave a face for each of {replicas} replicas in the last batch of "
            f"an epoch. Received: batch_size={config.batch_size}, which leaves {last} of {faces} "
            "faces"
        )


def _identity(
    config: TrainConfig, dataset, *, data: opening.TrainingData, init_weights: str | None
) -> dict:
    """What a run that goes on must be equal in: all but where and how exactly it is computed."""
    with dataset.damage_explained():
        faces = data.fingerprint
    return settings.fingerprint(
        config,
        init_weights=init_weights,
        dataset=dataset.full_name,
        labels=dataset.labels,
        train_faces=data.size,
        train_data=faces,
    )


def _lesson(config: TrainConfig, dataset, workdir, *, data, engine, hooks) -> Lesson | None:
    told = teacher.answers(
        config,
        dataset,
        workdir,
        fingerprint=data.fingerprint,
        writes=engine.writes,
        say=hooks.on_message,
    )
    return None if told is None else Lesson(answers=told, share=config.teacher_share)


def _initialise(engine: Engine, source: str, *, labels, hooks: Hooks):
    state = engine.state
    taken = initialise.init_weights(state.model, source, labels=labels)
    state.ema.set_weights(state.model.get_weights())
    engine.restored()
    hooks.on_message(
        f"{len(taken.loaded)} weights from {source}; "
        f"re-initialised: {', '.join(taken.fresh) or 'none'}"
    )
    for note in taken.notes:
        hooks.on_message(note)
