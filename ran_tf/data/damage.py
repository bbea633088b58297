"""Prepared datasets that are not whole: which file it is, and what helps.

TensorFlow's own errors name a position and no file.
"""

import contextlib
import os

import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf.data.dataset import DamagedDatasetError


def check_files(builder: tfds.core.DatasetBuilder) -> None:
    """Raises DamagedDatasetError unless every file that should hold examples is there."""
    wrong = [
        path
        for split in builder.info.splits.values()
        for path, examples in zip(split.filepaths, split.shard_lengths, strict=True)
        if examples and not (tf.io.gfile.exists(path) and tf.io.gfile.stat(path).length)
    ]
    if wrong:
        raise _error(builder, f"{len(wrong)} of its files are missing or empty, first {wrong[0]}")


@contextlib.contextmanager
def explained(builder: tfds.core.DatasetBuilder):
    """Turns TensorFlow's errors into DamagedDatasetError, if a file of the dataset is damaged."""
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        # A file that was cut off between two records: TFDS counts the examples.
        tf.errors.FailedPreconditionError,
        # Of `store.OnDisk`: what its reading raises, and what altered bytes do to a decoder.
        tf.errors.UnknownError,
        tf.errors.InvalidArgumentError,
    ) as error:
        check_files(builder)
        damage = _first_damage(builder)
        if damage is None:
            raise
        raise _error(builder, damage) from error


def _first_damage(builder: tfds.core.DatasetBuilder) -> str | None:
    for split in builder.info.splits.values():
        for path, examples in zip(split.filepaths, split.shard_lengths, strict=True):
            count = 0
            try:
                for _ in tf.data.TFRecordDataset(os.fspath(path)):
                    count += 1
            except tf.errors.OpError as error:
                return f"{path} is damaged after {count} of {examples} examples: {error.message}"
            if count != examples:
                return f"{path} holds {count} of {examples} examples"
    return None


def _error(builder: tfds.core.DatasetBuilder, damage: str) -> DamagedDatasetError:
    return DamagedDatasetError(
        f"the prepared dataset {builder.info.full_name!r} is not whole: {damage}. Delete "
        f"{builder.data_dir} and prepare it again (python -m ran_tf.launch.prepare "
        f"--dataset={builder.info.full_name.rsplit('/', 1)[0]}), or restore the file."
    )
