"""A prepared dataset for `fit` and `evaluate`, from Python."""

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from ran_tf.checks import InvalidArgument, check_whole
from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import pipeline, prepare, prepared
from ran_tf.faces.framing import Framing
from ran_tf.weights.card import ModelCard, check_classes

# Of an evaluation batch: what reports know of the faces, beside what the network is shown.
_KNOWN = ("face", "votes", "occlusion", "pose_30", "pose_45")


@dataclasses.dataclass(frozen=True)
class Data:
    """A prepared dataset, as `load_dataset` opens it.

    Attributes:
      config: what is read, and how.
      dataset: the opened dataset.
      batch_size: faces.
      seed: of the order of training, of augmentation and of random regions.
      test_split: TFDS split that is tested on.

    Example:
      >>> data = ran_tf.load_dataset("synthetic_faces", image_size=48)
      >>> x, y = next(iter(data.test))
      >>> tuple(x["boxes"].shape), tuple(y.shape)
      ((64, 6, 4), (64, 8))
    """

    config: DataConfig
    dataset: prepared.Dataset
    batch_size: int
    seed: int
    test_split: str

    @property
    def name(self) -> str:
        """Name of the dataset with its version, "ferplus/majority/1.1.0"."""
        return self.dataset.full_name

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return self.dataset.labels

    @functools.cached_property
    def train(self) -> tf.data.Dataset | None:
        """Batches (x, y) of the training split; every pass over it has another order."""
        return self._split(self.config.train_split, training=True)

    @functools.cached_property
    def validation(self) -> tf.data.Dataset | None:
        """Batches (x, y) of the validation split, in the order of its files."""
        return self._split(self.config.validation_split, training=False)

    @functools.cached_property
    def test(self) -> tf.data.Dataset | None:
        """Batches (x, y) of the test split, in the order of its files."""
        return self._split(self.test_split, training=False)

    def card(self, model) -> ModelCard:
        """What is needed to use a network that was trained on these faces.

        Args:
          model: `RegionAttentionNetwork` of as many classes.

        Raises:
          ValueError: if it has another number of classes, or they are known to be others.
        """
        check_classes(model, self.labels, name="data")
        framing = self.dataset.framing()
        if framing is None and model.card is not None:
            framing = Framing(margin=model.card.crop_margin, drop=model.card.crop_drop)
        return self.dataset.card(
            self.config,
            model=model.arguments,
            framing=framing or Framing(),
            loss_margin=model.loss_margin,
        )

    def _split(self, split: str, *, training: bool) -> tf.data.Dataset | None:
        if not self.dataset.has_split(split):
            return None
        self.dataset.check_regions(self.config.regions, split=split)
        if training:
            batches = pipeline.TrainingData(
                self.config, self.dataset, batch_size=self.batch_size, seed=self.seed
            ).repeated()
            return batches.map(_training_pair)
        batches = pipeline.eval_batches(
            self.config, self.dataset, split=split, batch_size=self.batch_size
        )
        found = batches.map(_evaluation_pair)
        # `ran_tf.evaluate` says in its report what was evaluated.
        found.ran_tf_split = (self, split)
        return found


def load_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: int | tuple[int, int] = 64,
    regions: str | RegionConfig = "fixed",
    num_regions: int | None = None,
    batch_size: int = 64,
    target: str = "label",
    train_split: str = "train",
    validation_split: str = "validation",
    test_split: str = "test",
    balanced: bool = False,
    cache: bool = True,
    seed: int = 0,
) -> Data:
    """Opens a prepared dataset.

    Args:
      name: TFDS name, perhaps with a /config: "ferplus", "raf_db/aligned". The drawn
        "synthetic_faces" are prepared on first use; others by `ran_tf.prepare`.
      data_dir: TFDS directory; TFDS' default when None.
      image_size: side of a whole face in pixels, or (height, width).
      regions: "fixed", "grid", "random", "landmarks", a registered name, or a `RegionConfig`.
      num_regions: number of regions, the whole face included; 6 when None. 1 is the whole-face
        baseline.
      batch_size: faces of a batch.
      target: "label", or "votes" if the dataset has votes.
      train_split, validation_split, test_split: TFDS split expressions, such as "train[:90%]".
      balanced: draw each class equally often in training.
      cache: keep decoded training faces in memory.
      seed: seed of the order of training, of augmentation and of random regions.

    Returns:
      `Data`: labels, and train, validation and test as `tf.data.Dataset` of (x, y) for
      `RegionAttentionNetwork.fit`. A split that the dataset lacks is None. y is f32[b, n], votes
      or one-hot. x is a dict of image u8[b, H, W, 3], boxes f32[b, k, 4], mask bool[b, k] and
      occlusion i64[b]. In training it also has key i32[b], from which augmentation draws its
      numbers, and landmarks f32[b, 5, 2] (NaN where unknown). In the other splits it also has
      face i64[b], votes f32[b, n] (zeros where there are none), pose_30 and pose_45 bool[b].

    Raises:
      FileNotFoundError: if the dataset is not prepared; the message has the command.
      ValueError: for an unknown dataset, split, target or kind of regions.

    Example:
      >>> data = ran_tf.load_dataset("synthetic_faces", image_size=48, batch_size=32)
      >>> data.labels[0]
      'neutral'
    """
    check_whole("batch_size", batch_size, low=1)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if isinstance(regions, RegionConfig):
        if num_regions not in (None, regions.k):
            raise InvalidArgument("num_regions", f"{regions.k}, as `regions` says", num_regions)
    else:
        check_whole("num_regions", 6 if num_regions is None else num_regions, low=1)
        regions = RegionConfig(kind=regions, k=6 if num_regions is None else num_regions)
    config = DataConfig(
        name=name,
        data_dir=data_dir,
        image_size=size,
        target=target,
        train_split=train_split,
        validation_split=validation_split,
        balanced=balanced,
        cache=cache,
        regions=regions,
    )
    prepare.prepare_if_drawn(config)
    return Data(
        config=config,
        dataset=prepared.open_dataset(config),
        batch_size=batch_size,
        seed=seed,
        test_split=test_split,
    )


def _training_pair(batch: dict) -> tuple[dict, Any]:
    return {name: value for name, value in batch.items() if name != "labels"}, batch["labels"]


def _evaluation_pair(batch: dict) -> tuple[dict, Any]:
    x = {name: batch[name] for name in ("image", "boxes", "mask", *_KNOWN)}
    return x, batch["labels"]
