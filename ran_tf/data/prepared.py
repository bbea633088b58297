"""A dataset that `ran_tf.launch.prepare` has built, opened and checked."""

import dataclasses
import os

import numpy as np
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf import framing, specs
from ran_tf.card import ModelCard, check_labels
from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import damage, reader


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

    def has_split(self, split: str) -> bool:
        """Whether a split expression names a split that is there; "" names none."""
        return bool(split) and split.partition("[")[0] in self.builder.info.splits

    def size(self, split: str, *, name: str = "split") -> int:
        """Number of examples; raises ValueError, with the argument's name, if there is no such."""
        try:
            return self.builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            names = sorted(self.builder.info.splits)
            held_back = "test" in split and "test" not in names and "validation" in names
            raise ValueError(
                f"`{name}` must be one of {names} or a slice within one"
                + (" (faces to test on are in 'validation')" if held_back else "")
                + f". Received: {name}={split!r}"
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

    def has_landmarks(self, split: str) -> bool:
        """Whether any face of a split has a known landmark; reads to the first that has.

        Raises:
          damage.DamagedDatasetError: if a file on the way there is damaged.
        """
        features = self.builder.info.features
        if "landmarks" not in features:
            return False
        points = (
            reader.records(self.builder, split)
            .batch(256)
            .map(lambda some: reader.parse(some, features=features, names=["landmarks"]))
        )
        with damage.explained(self.builder):
            return any(np.isfinite(some["landmarks"]).any() for some in points.as_numpy_iterator())

    def colour(self, data: DataConfig) -> str:
        """ "grey" if no face of the training split has colour, else "rgb", as a card has it.

        Where the features do not tell, faces are read to the first that has colour.

        Raises:
          damage.DamagedDatasetError: if a file on the way there is damaged.
        """
        if self.builder.info.features["image"].shape[-1] == 1:
            return "grey"
        decoder = self.decoder(data)
        faces = (
            reader.records(self.builder, data.train_split)
            .batch(64)
            .map(lambda some: decoder.training(some)["image"], num_parallel_calls=2)
        )
        with damage.explained(self.builder):
            coloured = any((some != some[..., :1]).any() for some in faces.as_numpy_iterator())
        return "rgb" if coloured else "grey"

    def card(
        self, data: DataConfig, *, model: dict, framing: framing.Framing, loss_margin: float
    ) -> ModelCard:
        """The card of a network that was trained on it.

        Args:
          data: how its faces were read.
          model: arguments of the network.
          framing: how its faces were cut out of photos.
          loss_margin: of the region biased loss that it was trained with.
        """
        return ModelCard(
            dataset=self.name,
            labels=self.labels,
            image_size=data.image_size,
            regions=data.regions,
            model=model,
            colour=self.colour(data),
            crop_margin=framing.margin,
            crop_drop=framing.drop,
            loss_margin=loss_margin,
        )

    def framing(self) -> framing.Framing | None:
        """How its faces were cut out of photos; None if that is not known.

        Raises:
          ValueError: if what is kept with it is no framing.
        """
        kept = (self.builder.info.metadata or {}).get("framing")
        if kept is not None:
            return framing.parse(kept, source=f"the metadata of {self.full_name!r}")
        known = specs.CROPS.get(self.builder.name)
        return framing.Framing(*known) if known else None

    def check_regions(self, regions: RegionConfig, *, split: str) -> None:
        """Raises ValueError if regions follow landmarks and no face of a split has any."""
        if regions.follow_landmarks and not self.has_landmarks(split):
            raise ValueError(
                "`regions` can be 'landmarks' only where faces have landmarks: find them with "
                "ran_tf.launch.align --landmarks_only, and build the dataset with "
                "ran_tf.launch.prepare --landmarks=FILE.csv. Received: none of the "
                f"{self.size(split):,} faces of {split!r} in {self.full_name!r} has any"
            )

    def decoder(self, data: DataConfig) -> reader.Decoder:
        """Makes faces of the dataset's records."""
        return reader.Decoder(self.builder.info.features, size=data.image_size, target=data.target)


def open_dataset(data: DataConfig) -> Dataset:
    """Opens a dataset that `ran_tf.launch.prepare` has built.

    Raises:
      ValueError: if there is no such dataset, its features or the names of its classes are not
        those of faces, or its emotion order is not that of `specs.LABELS`.
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
    _check_features(builder)
    labels = tuple(builder.info.features["label"].names)
    check_labels(f"labels of {builder.info.full_name}", labels)
    known = specs.LABELS.get(family)
    if known is not None and labels[: len(known)] != known[: len(labels)]:
        raise ValueError(
            f"the emotion order of the prepared dataset {builder.info.full_name!r} is not that of "
            f"ran_tf.LABELS[{family!r}]; prepare it again. Received: {labels}, expected {known}"
        )
    # A copy of FERPlus in class folders keeps the feature and knows no votes.
    metadata = builder.info.metadata or {}
    has_votes = "votes" in builder.info.features and metadata.get("protocol", True)
    if data.target == "votes" and not has_votes:
        raise ValueError(
            f"`target` can be 'votes' only for a dataset with crowd votes. "
            f"Received: target='votes' with dataset={data.name!r}"
        )
    return Dataset(builder=builder, labels=labels)


def _check_features(builder: tfds.core.DatasetBuilder) -> None:
    """Raises ValueError unless a dataset has the features that are read, in the form they have."""
    features = builder.info.features
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    scalar, classes = (), getattr(found.get("label"), "num_classes", None)
    needed = {
        "image": (tfds.features.Image, None, "uint8"),
        "label": (tfds.features.ClassLabel, scalar, "int64"),
        "id": (tfds.features.Text, scalar, "string"),
    }
    may_have = {
        "landmarks": (object, (len(specs.LANDMARKS), 2), "float32"),
        "votes": (object, (classes,), "float32"),
        "occlusion": (object, scalar, "int64"),
        "pose_30": (object, scalar, "bool"),
        "pose_45": (object, scalar, "bool"),
    }
    wrong = [
        name
        for name, form in (needed | may_have).items()
        if not (_has_form(found[name], *form) if name in found else name in may_have)
    ]
    if wrong or not classes:
        raise ValueError(
            f"the dataset {builder.info.full_name!r} must have the features image (u8[H,W,C]), "
            "label (a class with names) and id (text), as tfds_builders.features has them. "
            f"Received: {', '.join(wrong) or 'label'} missing or of another form, "
            f"among {', '.join(found) or 'none'}"
        )


def _has_form(feature, kind: type, shape: tuple | None, dtype: str) -> bool:
    if not isinstance(feature, kind) or isinstance(feature, tfds.features.FeaturesDict):
        return False
    info = feature.get_tensor_info()
    return info.tf_dtype.name == dtype and shape in (None, info.shape)
