"""What a run leaves in its work directory, and how it is read again.

run.json               flags, versions, seed, dataset version
checkpoints/           full state: model, EMA, optimizer, step, sums of the running epoch
metrics.csv            one row per epoch
tensorboard/           the same as scalars
best.weights.h5        weights (EMA) of the best validation epoch
card.json              `ModelCard`: what is needed to use them
best.json              its epoch and validation metrics
"""

import csv
import json
import pathlib

import numpy as np
import tensorflow as tf

from ran_tf import files
from ran_tf.config import ModelCard
from ran_tf.models.presets import TrainedModel
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import step as train_step

RUN, METRICS, BEST_WEIGHTS, BEST, CARD = (
    "run.json",
    "metrics.csv",
    "best.weights.h5",
    "best.json",
    "card.json",
)


class Progress(tf.Module):
    """Where a run is: the step, and the sums of `step.SUMS` since its epoch began."""

    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        self.sums = tf.Variable(np.zeros(len(train_step.SUMS)), dtype=tf.float64, name="sums")

    @property
    def completed(self) -> int:
        """Steps done since training began."""
        return int(self.step.numpy())


def make_manager(workdir, state: train_step.TrainState, progress: Progress):
    """A checkpoint manager of everything a resumed run needs; keeps the last two."""
    checkpoint = tf.train.Checkpoint(
        model=state.model,
        ema=state.ema,
        optimizer=state.optimizer,
        progress=progress,
    )
    return tf.train.CheckpointManager(
        checkpoint, str(pathlib.Path(workdir) / "checkpoints"), max_to_keep=2
    )


def save_best(workdir, *, model, card: ModelCard, metrics: dict) -> None:
    """Replaces the best weights and what describes them."""
    workdir = pathlib.Path(workdir)
    with files.atomic_path(workdir / BEST_WEIGHTS) as partial:
        model.save_weights(partial)
    files.write_text(workdir / CARD, card.to_json())
    files.write_text(workdir / BEST, json.dumps(metrics, indent=2))


def read_best(workdir) -> dict | None:
    """Metrics of the best epoch so far, or None before the first."""
    path = pathlib.Path(workdir) / BEST
    return json.loads(path.read_text()) if path.exists() else None


def load_workdir(workdir, *, dtype: str | None = None) -> TrainedModel:
    """Loads the best weights of a training run.

    Args:
      workdir: directory of the run.
      dtype: policy of the network; the run's own when None.

    Raises:
      FileNotFoundError: if `workdir` holds no finished epoch.
    """
    workdir = pathlib.Path(workdir)
    card_path, weights_path = workdir / CARD, workdir / BEST_WEIGHTS
    for path in (card_path, weights_path):
        if not path.exists():
            raise FileNotFoundError(
                f"`workdir` must be the directory of a training run with at least one finished "
                f"epoch; {path.name} is missing. Received: workdir={str(workdir)!r}"
            )
    card = ModelCard.from_json(card_path.read_text(encoding="utf-8"))
    # Weights are read the same on one device and on many.
    changes = {"synchronized": False, **({"dtype": dtype} if dtype else {})}
    model = RegionAttentionNetwork(**{**card.model, **changes})
    model.load_weights(weights_path)
    return TrainedModel(model=model, card=card)


def append_metrics(workdir, row: dict) -> None:
    """Adds a row to metrics.csv; rows of the same or a later epoch are cut off first.

    A run that was killed after it wrote a row repeats that epoch when it resumes.
    """
    path = pathlib.Path(workdir) / METRICS
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [r for r in csv.DictReader(handle) if int(r["epoch"]) < row["epoch"]]
    with (
        files.atomic_path(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.DictWriter(handle, fieldnames=list(row), extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, row])
