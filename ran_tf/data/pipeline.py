"""From a prepared TFDS dataset to batches.

A training batch is a dict {"image" u8[b,H,W,3], "boxes" f32[b,k,4], "mask" bool[b,k], "labels"
f32[b,n], "draws" f32[b,m]}; `draws` are the uniform numbers that on-device augmentation uses.
An evaluation batch has, in place of `draws`: "label" i64[b], "id" string[b], "occlusion" i64[b],
"pose_30" and "pose_45" bool[b].
"""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf import specs
from ran_tf.card import ModelCard
from ran_tf.config import DataConfig
from ran_tf.data import damage, ops, reader, store

# One stream of random numbers for each use.
_AUGMENT_STREAM, _REGION_STREAM, _EVALUATION_STREAM = range(3)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset.

    Attributes:
      builder: its TFDS builder.
      labels: class names in index order.
    """

    builder: tfds.core.DatasetBuilder
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """What opens it again, whatever is the default: "raf_db/aligned", or "sfew"."""
        config = self.builder.builder_config
        return f"{self.builder.name}/{config.name}" if config else str(self.builder.name)

    @property
    def full_name(self) -> str:
        """With its version, "raf_db/aligned/1.0.0": what reports and checkpoints say."""
        return str(self.builder.info.full_name)

    def size(self, split: str) -> int:
        """Number of examples; raises ValueError for a split that does not exist."""
        try:
            return self.builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            names = sorted(self.builder.info.splits)
            held_back = "test" in split and "test" not in names and "validation" in names
            raise ValueError(
                f"`split` must be one of {names} or a slice within one"
                + (" (faces to test on are in 'validation')" if held_back else "")
                + f". Received: split={split!r}"
            ) from error

    def shared(self, split: str, other: str) -> int:
        """Number of examples that are in both splits; raises ValueError as `size` does."""
        for name in (split, other):
            self.size(name)
        lengths = [
            min(a.skip + a.take, b.skip + b.take) - max(a.skip, b.skip)
            for a in self.builder.info.splits[split].file_instructions
            for b in self.builder.info.splits[other].file_instructions
            if a.filename == b.filename
        ]
        return sum(max(0, length) for length in lengths)

    def landmark_share(self, split: str) -> float:
        """Share of the faces of a split whose landmarks are known, 0..1; reads all records."""
        features = self.builder.info.features
        if "landmarks" not in features:
            return 0.0
        known = (
            reader.records(self.builder, split)
            .batch(256)
            .map(
                lambda some: tf.math.is_finite(
                    reader.parse(some, features=features, names=["landmarks"])["landmarks"][:, 0, 0]
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        )
        return sum(int(np.sum(some)) for some in known.as_numpy_iterator()) / self.size(split)

    def decoder(self, data: DataConfig) -> reader.Decoder:
        """Makes faces of the dataset's records."""
        return reader.Decoder(self.builder.info.features, size=data.image_size, target=data.target)


def open_dataset(data: DataConfig) -> Dataset:
    """Opens a dataset that `ran_tf.launch.prepare` has built.

    Raises:
      ValueError: if there is no such dataset, or its emotion order is not that of `specs.LABELS`.
      FileNotFoundError: if it is not prepared in `data.data_dir`.
      damage.DamagedDatasetError: if some of its files are missing or empty.
    """
    data_dir = data.data_dir and os.path.expanduser(data.data_dir)
    try:
        builder = tfds.builder(data.name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"`dataset` must be one of {sorted(tfds_builders.DATASETS)}, perhaps with a /config. "
            f"Received: dataset={data.name!r}"
        ) from error
    family = builder.name
    if not builder.info.splits:
        raise FileNotFoundError(
            f"dataset {data.name!r} is not prepared in {builder.data_dir!r}. Run first: "
            f"python -m ran_tf.launch.prepare --dataset={data.name} --manual_dir=DIR"
            + (f" --data_dir={data.data_dir}" if data.data_dir else "")
        )
    damage.check_files(builder)
    labels = tuple(builder.info.features["label"].names)
    known = specs.LABELS.get(family)
    if known is not None and labels[: len(known)] != known[: len(labels)]:
        raise ValueError(
            f"the emotion order of the prepared dataset {builder.info.full_name!r} is not that of "
            f"ran_tf.LABELS[{family!r}]; prepare it again. Received: {labels}, expected {known}"
        )
    if data.target == "votes" and "votes" not in builder.info.features:
        raise ValueError(
            f"`target` can be 'votes' only for a dataset with crowd votes. "
            f"Received: target='votes' with dataset={data.name!r}"
        )
    return Dataset(builder=builder, labels=labels)


def no_landmarks(dataset: Dataset, split: str) -> ValueError:
    """The error for landmark regions of faces that have none."""
    return ValueError(
        "`regions` can be 'landmarks' only where faces have landmarks: find them with "
        "ran_tf.launch.align --landmarks_only, and build the dataset with ran_tf.launch.prepare "
        f"--landmarks=FILE.csv. Received: none of the {dataset.size(split):,} faces of {split!r} "
        f"in {dataset.full_name!r} has any"
    )


class TrainingData:
    """Batches of the training split; the order is a function of seed and epoch.

    Args:
      data: what to read.
      dataset: from `open_dataset`.
      batch_size: global batch; the last batch of an epoch may be smaller.
      num_draws: uniform numbers that the augmentation of one face uses.
      seed: of order, augmentation and random regions.
    """

    def __init__(
        self, data: DataConfig, dataset: Dataset, *, batch_size: int, num_draws: int, seed: int
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
        """Made when the first epoch is asked for; it serves all of them."""
        make = store.InMemory if self._data.cache else store.OnDisk
        decoder = self._dataset.decoder(self._data)
        return make(self._dataset.builder, self._data.train_split, decoder=decoder)

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
    dataset: Dataset,
    *,
    split: str,
    batch_size: int,
    share: reader.Share = reader.WHOLE,
) -> tf.data.Dataset:
    """Batches of a split in the order of its files, each face once; regions are the same each time.

    Args:
      data: what to read.
      dataset: from `open_dataset`.
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
