"""What a run tells of itself: its metrics, the weights that it keeps, and how both are read again.

run.json               settings, versions, digest of the data: an entry for every start
checkpoints/           see `checkpoints`
metrics.csv            one row per epoch
tensorboard/           the same as scalars
best.weights.h5        weights (EMA) of the best validation epoch; with keep="last" of the last
card.json              `ModelCard`: what is needed to use them
best.json              its epoch and validation metrics
teacher.npz            with a teacher, see `training.teacher`
"""

import csv
import datetime
import filecmp
import json
import os
import pathlib
import platform
import shutil
from importlib import metadata
from typing import Any

from ran_tf import settings
from ran_tf.config import TrainConfig
from ran_tf.safety import files
from ran_tf.weights import presets
from ran_tf.weights.card import ModelCard
from ran_tf.weights.presets import TrainedModel

RUN, METRICS, BEST_WEIGHTS, BEST, CARD = (
    "run.json",
    "metrics.csv",
    "best.weights.h5",
    "best.json",
    "card.json",
)
# What a checkpoint holds a copy of, in the order in which `publish` writes.
RECORDS = (CARD, BEST_WEIGHTS, BEST, METRICS)

_PACKAGES = ("ran_tf", "tensorflow", "jax", "keras", "tensorflow-datasets", "numpy")
# Of the run's identity: what no setting says.
_DATA = ("labels", "train_faces", "train_data")


def publish(checkpoint: pathlib.Path, workdir: pathlib.Path) -> None:
    """Copies a checkpoint's records into the work directory, and removes those it has not.

    best.json is not there while the weights change: beside weights it is always theirs.
    """
    changed = [name for name in RECORDS if not _same(checkpoint / name, workdir / name)]
    if BEST_WEIGHTS in changed:
        (workdir / BEST).unlink(missing_ok=True)
        changed.append(BEST)
    for name in RECORDS:
        if name in changed and (checkpoint / name).exists():
            with files.atomic_path(workdir / name) as partial:
                shutil.copyfile(checkpoint / name, partial)
        elif name in changed:
            (workdir / name).unlink(missing_ok=True)


def _same(a: pathlib.Path, b: pathlib.Path) -> bool:
    if not (a.exists() and b.exists()):
        return a.exists() == b.exists()
    return filecmp.cmp(a, b, shallow=False)


def save_best(folder, *, model, card: ModelCard, metrics: dict) -> None:
    """Writes the weights of the epoch that is kept and what describes them."""
    folder = pathlib.Path(folder)
    with files.atomic_path(folder / BEST_WEIGHTS) as partial:
        model.save_weights(partial)
    files.write_text(folder / CARD, card.to_json())
    files.write_text(folder / BEST, json.dumps(metrics, indent=2))


def read_best(workdir) -> dict | None:
    """Metrics of the epoch that is kept, so far, or None before the first."""
    path = pathlib.Path(workdir) / BEST
    return files.read_json(path) if path.exists() else None


def read_starts(workdir) -> list[dict]:
    """Entries of run.json, one for every start of the run; none without the file.

    Raises:
      ValueError: if it is damaged.
    """
    path = pathlib.Path(workdir) / RUN
    if not path.is_file():
        return []
    starts = files.read_json(path, keys=("starts",))["starts"]
    if not isinstance(starts, list) or not all(isinstance(entry, dict) for entry in starts):
        raise ValueError(
            f"{path} is damaged. Move it away to go on without this record. Received: "
            f"starts={type(starts).__name__}"
        )
    return starts


def add_start(workdir, config: TrainConfig, *, identity: dict[str, Any]) -> None:
    """Adds to run.json what this start of the run is made of.

    Args:
      workdir: of the run.
      config: the run.
      identity: what its checkpoints note of it beside the settings: the dataset with its version,
        labels, number and fingerprint of the training faces, and `init_weights`.

    Raises:
      ValueError: if the file is damaged.
    """
    import keras  # Who reads a card does not wait for it.

    entry = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dataset": identity["dataset"],
        "data": {name: identity[name] for name in _DATA},
        "init_weights": identity["init_weights"],
        "flags": settings.by_flag(config),
        "backend": keras.backend.backend(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
    }
    starts = [*read_starts(workdir), entry]
    files.write_text(pathlib.Path(workdir) / RUN, json.dumps({"starts": starts}, indent=2))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # such as a checkout that is not installed
        return "not installed"


def read_card(workdir) -> ModelCard:
    """The card of the weights that a training run keeps.

    Raises:
      FileNotFoundError: if `workdir` holds no finished epoch.
      ValueError: if the card is damaged.
    """
    path = _finished(pathlib.Path(workdir), CARD)
    return ModelCard.from_json(path.read_bytes(), source=str(path))


def _finished(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """A file that the first epoch leaves."""
    path = workdir / name
    if not path.exists():
        raise FileNotFoundError(
            "`workdir` must be the directory of a training run with at least one finished epoch; "
            f"{name} is missing. Received: workdir={str(workdir)!r}"
        )
    return path


def load_workdir(workdir, *, dtype: str | None = None) -> TrainedModel:
    """Loads the weights that a training run keeps.

    Args:
      workdir: directory of the run.
      dtype: policy of the network; the run's own when None.

    Raises:
      FileNotFoundError: if `workdir` holds no finished epoch.
      ValueError: if its card is damaged, or its weights are not those of the network on the card.
    """
    from ran_tf.weights import weights_file

    workdir = pathlib.Path(workdir)
    card = read_card(workdir)
    # Weights are read the same on one device and on many.
    model = presets.build_network(card, dtype=dtype, source=str(workdir / CARD))
    with weights_file.safe_copy(_finished(workdir, BEST_WEIGHTS)) as file:
        try:
            model.load_weights(file.path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"{BEST_WEIGHTS} must hold the weights of the network on {CARD}. "
                f"Received: workdir={str(workdir)!r}: {error}"
            ) from error
    return TrainedModel(model=model, card=card)


def add_row(path: pathlib.Path, row: dict) -> None:
    """Adds a row to a metrics.csv, made if it is absent (not atomically: in a checkpoint)."""
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(row), extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, row])


class Scalars:
    """The rows of metrics.csv for TensorBoard; nothing where there is no TensorFlow.

    Args:
      folder: of the event file, which is made with the first row.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._writer: Any = None

    def write(self, row: dict) -> None:
        try:
            import tensorflow as tf
        except ImportError:  # a machine that trains on JAX
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._folder))
        # `tf.summary.scalar` would need TensorBoard itself installed.
        values = [tf.compat.v1.Summary.Value(tag=n, simple_value=v) for n, v in row.items()]
        summary = tf.compat.v1.Summary(value=values)
        with self._writer.as_default(step=row["epoch"]):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
