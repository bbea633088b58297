"""The faces of a run, however they are kept: prepared by TFDS, or packed (then without TensorFlow).

`data_dir` says which: a folder that `ran_tf.launch.pack` wrote, or a TFDS directory.
"""

import contextlib
from collections.abc import Iterable
from typing import Any, Protocol

from ran_tf.config import DataConfig
from ran_tf.data import packed, packed_batches
from ran_tf.data.dataset import Dataset
from ran_tf.data.lesson import Lesson
from ran_tf.data.share import WHOLE, Share


class TrainingData(Protocol):
    """The training split, see `pipeline.TrainingData` and `packed_batches.TrainingData`."""

    size: int
    steps_per_epoch: int
    lesson: Lesson | None

    @property
    def fingerprint(self) -> str:
        """Of the faces and what is known of them."""

    def epoch(self, epoch: int, *, first_step: int = 0, share: Share = WHOLE) -> Iterable[Any]:
        """The batches of one epoch, from batch `first_step` on."""


def prepare_if_drawn(
    data: DataConfig, *, turn: contextlib.AbstractContextManager | None = None
) -> None:
    """As `prepare.prepare_if_drawn`, unless `data.data_dir` holds packed faces."""
    if data.name == "synthetic_faces" and not packed.is_packed(data.data_dir):
        from ran_tf.data import prepare

        prepare.prepare_if_drawn(data, turn=turn)


def open_dataset(data: DataConfig) -> Dataset:
    """Opens what `data.data_dir` holds.

    Raises:
      ValueError, FileNotFoundError, DamagedDatasetError: see `packed.open_packed` and
        `prepared.open_dataset`.
    """
    if packed.is_packed(data.data_dir):
        return packed.open_packed(data)
    from ran_tf.data import prepared

    return prepared.open_dataset(data)


def training_data(
    data: DataConfig, dataset: Dataset, *, batch_size: int, seed: int
) -> TrainingData:
    """Batches of the training split; the order is a function of seed and epoch."""
    asked: dict[str, Any] = {"batch_size": batch_size, "seed": seed}
    if isinstance(dataset, packed.Dataset):
        return packed_batches.TrainingData(data, dataset, **asked)
    from ran_tf.data import pipeline, prepared

    assert isinstance(dataset, prepared.Dataset)
    return pipeline.TrainingData(data, dataset, **asked)


def eval_batches(
    data: DataConfig, dataset: Dataset, *, split: str, batch_size: int, share: Share = WHOLE
) -> Iterable[Any]:
    """Batches of a split in the order of its files, each face once."""
    asked: dict[str, Any] = {"split": split, "batch_size": batch_size, "share": share}
    if isinstance(dataset, packed.Dataset):
        return packed_batches.eval_batches(data, dataset, **asked)
    from ran_tf.data import pipeline, prepared

    assert isinstance(dataset, prepared.Dataset)
    return pipeline.eval_batches(data, dataset, **asked)
