"""From a prepared TFDS dataset to batches.

A training batch is a dict {"image" u8[b,H,W,3], "boxes" f32[b,k,4], "mask" bool[b,k], "labels"
f32[b,n], "draws" f32[b,m]}; `draws` are the uniform numbers that on-device augmentation uses.
An evaluation batch has, in place of `draws`: "label" i64[b], "id" string[b], "occlusion" i64[b],
"pose_30" and "pose_45" bool[b].
"""

import functools

import numpy as np
import tensorflow as tf

from ran_tf.card import ModelCard
from ran_tf.config import DataConfig
from ran_tf.data import ops, prepared, reader, store

# One stream of random numbers for each use.
_AUGMENT_STREAM, _REGION_STREAM, _EVALUATION_STREAM = range(3)


class TrainingData:
    """Batches of the training split; the order is a function of seed and epoch.

    Args:
      data: what to read.
      dataset: from `prepared.open_dataset`.
      batch_size: global batch; the last batch of an epoch may be smaller.
      num_draws: uniform numbers that the augmentation of one face uses.
      seed: of order, augmentation and random regions.
    """

    def __init__(
        self,
        data: DataConfig,
        dataset: prepared.Dataset,
        *,
        batch_size: int,
        num_draws: int,
        seed: int,
    ):
        self._data, self._seed, self._batch_size = data, seed, batch_size
        self._num_draws = num_draws
        self.size = dataset.size(data.train_split)
        if self.size == 0:
            raise ValueError(
                f"`train_split` holds no faces. Received: train_split={data.train_split!r}"
            )
        self._dataset = dataset
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

    def epoch(
        self, epoch: int, *, first_step: int = 0, share: reader.Share = reader.WHOLE
    ) -> tf.data.Dataset:
        """The batches of one epoch, from batch `first_step` on.

        A share of them has for every batch as many elements as it has replicas, in their order.
        """
        skip = first_step * self._batch_size
        faces = self._faces
        batches = reader.batches(
            self._order(epoch, labels=faces.labels).skip(skip),
            start=epoch * self.size + skip,
            batch_size=self._batch_size,
            share=share,
        )
        # By batches and not by faces: calling a function costs more than what it does here.
        return batches.map(
            lambda positions, numbers: self._finish(positions, faces.fetch(numbers)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        ).prefetch(2)

    def _order(self, epoch: int, *, labels: np.ndarray) -> tf.data.Dataset:
        """Numbers of the faces of an epoch, i64[]."""
        # Seeds of different runs must not meet in different epochs: hence the large stride.
        seed = (self._seed * 100_003 + epoch) % 2**31

        def shuffled(numbers):
            numbers = tf.data.Dataset.from_tensor_slices(numbers)
            return numbers.shuffle(self.size, seed=seed, reshuffle_each_iteration=False)

        if not self._data.balanced:
            return shuffled(np.arange(self.size))
        by_class = [
            shuffled(np.flatnonzero(labels == c)).repeat() for c in range(len(self._dataset.labels))
        ]
        drawn = tf.data.Dataset.sample_from_datasets(by_class, seed=seed).take(self.size)
        # Not known of what repeats for ever; Keras' `fit` asks for it.
        return drawn.apply(tf.data.experimental.assert_cardinality(self.size))

    def _finish(self, positions, faces):
        """Adds random numbers and regions."""
        batch = {
            "image": faces["image"],
            "labels": faces["labels"],
            "landmarks": faces["landmarks"],
            "draws": ops.uniform_draws(
                positions, count=self._num_draws, seed=self._seed, stream=_AUGMENT_STREAM
            ),
            "region_draws": _region_draws(
                positions, self._data, seed=self._seed, stream=_REGION_STREAM
            ),
        }
        return _with_regions(batch, regions=self._data.regions)


def _region_draws(positions, data: DataConfig, *, seed: int, stream: int):
    count = 3 * (data.regions.k - 1) if data.regions.kind == "random" else 0
    return ops.uniform_draws(positions, count=count, seed=seed, stream=stream)


def _with_regions(batch, *, regions):
    landmarks, draws = batch.pop("landmarks"), batch.pop("region_draws")
    boxes, mask = ops.batch_regions(landmarks, draws, regions=regions)
    return {**batch, "boxes": boxes, "mask": mask}


def eval_batches(
    data: DataConfig,
    dataset: prepared.Dataset,
    *,
    split: str,
    batch_size: int,
    share: reader.Share = reader.WHOLE,
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

    def finish(positions, records):
        draws = _region_draws(positions, data, seed=0, stream=_EVALUATION_STREAM)
        batch = {**decoder.evaluation(records), "region_draws": draws}
        return _with_regions(batch, regions=data.regions)

    records = reader.records(dataset.builder, split)
    return (
        reader.batches(records, start=0, batch_size=batch_size, share=share)
        .map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(2)
    )


def data_config_of(card: ModelCard, *, name: str | None = None, data_dir: str | None) -> DataConfig:
    """How to read a dataset for a trained model."""
    return DataConfig(
        name=name or card.dataset,
        data_dir=data_dir,
        image_size=card.image_size,
        regions=card.regions,
        cache=False,
    )


def fit_arguments(batch) -> tuple[dict, dict]:
    """A batch as `(x, y)` for Keras' `fit` with losses for "logits" and "mu"."""
    inputs = {name: batch[name] for name in ("image", "boxes", "mask")}
    return inputs, {"logits": batch["labels"], "mu": batch["mask"]}
