"""A dataset that `ran_tf.launch.prepare` has built, opened and checked."""

import contextlib
import dataclasses
import os

import numpy as np
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf import vocabulary
from ran_tf.config import DataConfig
from ran_tf.data import damage, packed, reader
from ran_tf.data import dataset as dataset_lib
from ran_tf.data.dataset import check_target
from ran_tf.data.split_expression import Piece
from ran_tf.faces import framing
from ran_tf.weights.card import check_labels


@dataclasses.dataclass(frozen=True)
class Dataset(dataset_lib.Dataset):
    """A prepared dataset, see `dataset.Dataset`.

    Attributes:
      builder: its TFDS builder.
      labels: class names in index order.
    """

    builder: tfds.core.DatasetBuilder
    labels: tuple[str, ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        config = self.builder.builder_config
        return f"{self.builder.name}/{config.name}" if config else str(self.builder.name)

    @property
    def full_name(self) -> str:  # type: ignore[override]
        return str(self.builder.info.full_name)

    @property
    def split_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.builder.info.splits)

    @property
    def has_votes(self) -> bool:
        """Whether its faces have the votes of a crowd."""
        # A copy of FERPlus in class folders keeps the feature and knows none.
        metadata = self.builder.info.metadata or {}
        return "votes" in self.builder.info.features and bool(metadata.get("protocol", True))

    def pieces(self, split: str) -> list[Piece]:
        # The file's name says whose split it is.
        return [
            Piece("", os.fspath(file.filename), file.skip, file.take)
            for file in self.builder.info.splits[split].file_instructions
        ]

    def damage_explained(self) -> contextlib.AbstractContextManager:
        return damage.explained(self.builder)

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

    def framing(self) -> framing.Framing | None:
        """How its faces were cut out of photos; None if that is not known.

        Raises:
          ValueError: if what is kept with it is no framing.
        """
        kept = (self.builder.info.metadata or {}).get("framing")
        if kept is not None:
            return framing.parse(kept, source=f"the metadata of {self.full_name!r}")
        known = vocabulary.CROPS.get(self.builder.name)
        return framing.Framing(*known) if known else None

    def decoder(self, data: DataConfig) -> reader.Decoder:
        """Makes faces of the dataset's records."""
        return reader.Decoder(self.builder.info.features, size=data.image_size, target=data.target)


def open_dataset(data: DataConfig) -> Dataset:
    """Opens a dataset that `ran_tf.launch.prepare` has built.

    Raises:
      ValueError: if there is no such dataset, its features or the names of its classes are not
        those of faces, or its emotion order is not that of `vocabulary.LABELS`.
      FileNotFoundError: if it is not prepared in `data.data_dir`.
      damage.DamagedDatasetError: if some of its files are missing or empty.
    """
    if packed.is_packed(data.data_dir):
        raise ValueError(
            "`data_dir` must be a TFDS directory here: packed faces are for training. "
            f"Received: data_dir={data.data_dir!r}"
        )
    data_dir = data.data_dir and os.path.expanduser(data.data_dir)
    try:
        builder = tfds.builder(data.name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"`dataset` must be one of {sorted(tfds_builders.DATASETS)}, perhaps with a /config, "
            "or your own TFDS builder: import its module (commands: --import=MODULE). Received: "
            f"dataset={data.name!r}"
        ) from error
    family = builder.name
    if not builder.info.splits:
        theirs = builder.name not in tfds_builders.DATASETS
        raise FileNotFoundError(
            f"dataset {data.name!r} is not prepared in {builder.data_dir!r}. Run first: "
            f"python -m ran_tf.launch.prepare --dataset={data.name}"
            + (" --manual_dir=DIR" if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else "")
            + (f" --data_dir={data.data_dir}" if data.data_dir else "")
            + (f" --import={type(builder).__module__}" if theirs else "")
        )
    damage.check_files(builder)
    _check_features(builder)
    labels = tuple(builder.info.features["label"].names)
    check_labels(f"labels of {builder.info.full_name}", labels)
    known = vocabulary.LABELS.get(family)
    if known is not None and labels[: len(known)] != known[: len(labels)]:
        raise ValueError(
            f"the emotion order of the prepared dataset {builder.info.full_name!r} is not that of "
            f"ran_tf.LABELS[{family!r}]; prepare it again. Received: {labels}, expected {known}"
        )
    opened = Dataset(builder=builder, labels=labels)
    check_target(data, has_votes=opened.has_votes)
    return opened


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
        "landmarks": (object, (len(vocabulary.LANDMARKS), 2), "float32"),
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
            "label (a class with names) and id (text), as tfds_builders.reading.features has "
            f"them. Received: {', '.join(wrong) or 'label'} missing or of another type; the "
            f"dataset has {', '.join(found) or 'no features'}"
        )


def _has_form(
    feature, kind: type[tfds.features.FeatureConnector], shape: tuple | None, dtype: str
) -> bool:
    if not isinstance(feature, kind) or isinstance(feature, tfds.features.FeaturesDict):
        return False
    info = feature.get_tensor_info()
    return info.tf_dtype.name == dtype and shape in (None, info.shape)
