"""From a prepared TFDS dataset to batches.

A training batch is a dict {"image" u8[b,H,W,3], "boxes" f32[b,k,4], "mask" bool[b,k], "labels"
f32[b,n], "landmarks" f32[b,5,2], "occlusion" i64[b], "key" i32[b]}, with landmark regions "follows"
bool[b,k]; of `key` the numbers of augmentation are drawn on the device (see `augment.draws`). An
evaluation batch has, in place of "key" and "landmarks": "label" i64[b], "face" i64[b] (its place in
the split), "id" string[b], "votes" f32[b,n] (zeros where there are none), "pose_30" and "pose_45"
bool[b].
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

from ran_tf.config import DataConfig
from ran_tf.data import ops, order, prepared, reader, store
from ran_tf.data.lesson import Lesson
from ran_tf.data.share import WHOLE, Share
from ran_tf.weights.card import ModelCard


class TrainingData:
    """Batches of the training split; the order is a function of seed and epoch.

    Args:
      data: what to read.
      dataset: from `prepared.open_dataset`.
      batch_size: global batch; the last batch of an epoch may be smaller.
      seed: of order, augmentation and random regions.

    Attributes:
      lesson: what others say of the faces, a share of the targets of epochs asked for after it was
        set; None: labels alone.
    """

    def __init__(
        self,
        data: DataConfig,
        dataset: prepared.Dataset,
        *,
        batch_size: int,
        seed: int,
    ):
        self._data, self._seed, self._batch_size = data, seed, batch_size
        self.size = dataset.size(data.train_split)
        if self.size == 0:
            raise ValueError(
                f"`train_split` holds no faces. Received: train_split={data.train_split!r}"
            )
        self._dataset = dataset
        self.lesson: Lesson | None = None
        self.steps_per_epoch = -(-self.size // batch_size)

    @functools.cached_property
    def _faces(self) -> store.InMemory | store.OnDisk:
        """Made when the first epoch or the fingerprint is asked for; it serves all of them."""
        make = store.InMemory if self._data.cache else store.OnDisk
        decoder = self._dataset.decoder(self._data)
        return make(self._dataset.builder, self._data.train_split, decoder=decoder)

    @property
    def fingerprint(self) -> str:
        """Of the faces and what is known of them, see `store.InMemory`."""
        return self._faces.fingerprint

    def epoch(self, epoch: int, *, first_step: int = 0, share: Share = WHOLE) -> tf.data.Dataset:
        """The batches of one epoch, from batch `first_step` on.

        A share of them has for every batch as many elements as it has replicas, in their order.
        """
        skip = first_step * self._batch_size
        batches = reader.batches(
            tf.data.Dataset.from_tensor_slices(self._order(epoch)[skip:]),
            start=epoch * self.size + skip,
            batch_size=self._batch_size,
            share=share,
        )
        return self._read(batches)

    def repeated(self) -> tf.data.Dataset:
        """The same batches for Keras' `fit`: every pass over it is the next epoch."""
        epochs = itertools.count()

        def next_epoch():
            epoch = next(epochs)
            return self._order(epoch), np.int64(epoch * self.size)

        def one_pass(_):
            order, start = tf.numpy_function(next_epoch, [], [tf.int64, tf.int64])
            start = tf.ensure_shape(start, [])
            numbers = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [self.size]))
            positions = tf.data.Dataset.range(start, start + self.size)
            return tf.data.Dataset.zip((positions, numbers)).batch(self._batch_size)

        batches = self._read(tf.data.Dataset.range(1).flat_map(one_pass))
        return batches.apply(tf.data.experimental.assert_cardinality(self.steps_per_epoch))

    def _read(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Batches of faces, of those of positions i64[b] and numbers i64[b]."""
        faces = self._faces
        # By batches and not by faces: calling a function costs more than what it does here.
        return reader.map_ahead(
            batches,
            lambda positions, numbers: self._finish(
                positions, self._taught(faces.fetch(numbers), numbers)
            ),
        )

    def _order(self, epoch: int) -> np.ndarray:
        return order.of_epoch(
            self._faces.labels, balanced=self._data.balanced, seed=self._seed, epoch=epoch
        )

    def _taught(self, faces, numbers):
        if self.lesson is None:
            return faces
        labels = faces["labels"]
        mixed = tf.numpy_function(self.lesson.mixed, [labels, numbers], tf.float32, stateful=False)
        return {**faces, "labels": tf.ensure_shape(mixed, labels.shape)}

    def _finish(self, positions, faces):
        """Adds random numbers and regions."""
        batch = {name: faces[name] for name in ("image", "labels", "landmarks", "occlusion")}
        batch["key"] = ops.face_keys(positions, seed=self._seed)
        return _with_regions(batch, regions=self._data.regions)


def _with_regions(batch, *, regions):
    return {**batch, **ops.batch_regions(batch["landmarks"], batch["key"], regions=regions)}


def eval_batches(
    data: DataConfig,
    dataset: prepared.Dataset,
    *,
    split: str,
    batch_size: int,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Batches of a split in the order of its files, each face once; regions are the same each time.

    Args:
      data: what to read.
      dataset: from `prepared.open_dataset`.
      split: TFDS split expression.
      batch_size: of all replicas together; the last batch may be smaller.
      share: which faces of every batch; there is an element for each replica of it.
    """
    dataset.size(split)
    decoder = dataset.decoder(data)
    unwanted = ("key", "follows", "landmarks")

    def finish(positions, records):
        batch = decoder.evaluation(records)
        batch |= {"key": ops.face_keys(positions, seed=order.EVALUATION_SEED), "face": positions}
        batch = _with_regions(batch, regions=data.regions)
        return {name: value for name, value in batch.items() if name not in unwanted}

    records = reader.records(dataset.builder, split)
    batches = reader.batches(records, start=0, batch_size=batch_size, share=share)
    return reader.map_ahead(batches, finish)


def data_config_of(card: ModelCard, *, name: str | None = None, data_dir: str | None) -> DataConfig:
    """How to read a dataset for a trained model."""
    return DataConfig(
        name=name or card.dataset,
        data_dir=data_dir,
        image_size=card.image_size,
        regions=card.regions,
        cache=False,
    )
