"""A prepared split in the order of its files, in batches that replicas share, and decoded.

Records stay as they are on disk until they are in a batch, which is parsed and decoded as one:
TFDS' own pipeline calls functions for each face, and the calls take longer than what they do.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable

import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from ran_tf.data import ops, order
from ran_tf.data.share import Share
from ran_tf.faces.processes import available_cpus

# Bytes of a TFRecord before its data (length and a checksum) and behind (another checksum).
_RECORD_HEADER, _RECORD_FOOTER = 12, 4


def records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Serialised examples, string[], in TFDS' order without shuffling.

    Raises:
      ValueError: if the split holds none.
    """
    return _read(builder, split, lambda file: tf.data.TFRecordDataset(file["path"]))


def located(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """`records` with where each lies: ({"file" i64[], "start" i64[]}, string[]).

    `file` counts the split's `file_instructions`, `start` is the record's first byte in it.

    Raises:
      ValueError: if the split holds none.
    """

    def read(file):
        def locate(end, record):
            start = end + _RECORD_HEADER
            end = start + tf.cast(tf.strings.length(record), tf.int64)
            return end + _RECORD_FOOTER, ({"file": file["number"], "start": start}, record)

        return tf.data.TFRecordDataset(file["path"]).scan(tf.constant(0, tf.int64), locate)

    return _read(builder, split, read)


def in_file_order(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Serialised examples, string[], one file after another."""
    files = [os.fspath(file) for file in builder.info.splits[split].filepaths]
    read = tf.data.TFRecordDataset(files)
    # As below.
    return read.apply(
        tf.data.experimental.assert_cardinality(builder.info.splits[split].num_examples)
    )


def _read(builder: tfds.core.DatasetBuilder, split: str, read_file) -> tf.data.Dataset:
    files = builder.info.splits[split].file_instructions
    if not files:
        raise ValueError(f"`split` holds no faces. Received: split={split!r}")
    slices = {
        "number": tf.range(len(files), dtype=tf.int64),
        "path": [os.fspath(file.filename) for file in files],
        "skip": tf.constant([file.skip for file in files], tf.int64),
        "take": tf.constant([file.take for file in files], tf.int64),
    }
    read = tf.data.Dataset.from_tensor_slices(slices).interleave(
        lambda file: read_file(file).skip(file["skip"]).take(file["take"]),
        cycle_length=order.FILES_IN_TURNS,
        block_length=order.RECORDS_IN_A_ROW,
        num_parallel_calls=min(available_cpus(), order.FILES_IN_TURNS),
        deterministic=True,
    )
    # A file that was cut off between two records has no other sign of it.
    return read.apply(tf.data.experimental.assert_cardinality(sum(file.take for file in files)))


def map_ahead(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """`dataset.map(function)` in order, on all cores, two elements ahead of who takes them."""
    mapped = dataset.map(function, num_parallel_calls=available_cpus(), deterministic=True)
    return ops.untuned(mapped.prefetch(2))


def parse(serialised, *, features: tfds.features.FeaturesDict, names: Iterable[str]) -> dict:
    """Some features of examples, images still encoded.

    Args:
      serialised: string[b], from `records`.
      features: of the dataset.
      names: of the wanted features; those that the dataset lacks are left out.
    """
    stored = features.get_serialized_info()
    wanted = {name: stored[name] for name in names if name in stored}
    # TFRecords know no bool: TFDS stores an int64.
    layout = {
        name: tf.io.FixedLenFeature(
            info.shape, tf.int64 if info.tf_dtype == tf.bool else info.tf_dtype
        )
        for name, info in wanted.items()
    }
    parsed = tf.io.parse_example(serialised, layout)
    return {name: tf.cast(parsed[name], info.tf_dtype) for name, info in wanted.items()}


@dataclasses.dataclass(frozen=True)
class Decoder:
    """From serialised examples to faces.

    Attributes:
      features: of the dataset.
      size: (height, width) of a face in pixels.
      target: "votes" or "label", see `DataConfig`.
    """

    features: tfds.features.FeaturesDict
    size: tuple[int, int]
    target: str

    def training(self, serialised) -> dict:
        """What a training step needs of string[b].

        That is "image", "labels", "label", "landmarks" and "occlusion".
        """
        names = [*self._names(), "occlusion"]
        example = parse(serialised, features=self.features, names=names)
        return {**self._faces(example), "occlusion": _listed(example, "occlusion", tf.int64)}

    def marks(self, serialised):
        """A number for each face of string[b], i64[b]: of all that a training step reads of it.

        It does not depend on the arrangement of a record, which TFDS may choose anew.
        """
        example = parse(serialised, features=self.features, names=self._names())
        # As whole numbers: a float's text would be rounded.
        bits = {tf.float32: tf.int32, tf.float64: tf.int64}
        parts = []
        for name in sorted(example):
            value = example[name]
            if value.dtype in bits:
                value = tf.bitcast(value, bits[value.dtype])
            if value.dtype != tf.string:
                columns = tf.reshape(tf.strings.as_string(value), [tf.size(example["label"]), -1])
                value = tf.strings.reduce_join(columns, axis=1, separator=" ")
            parts.append(value)
        return tf.strings.to_hash_bucket_fast(tf.strings.join(parts, separator="|"), 2**62)

    def evaluation(self, serialised) -> dict:
        """The same and "votes" (zeros where there are none), "id", "pose_30" and "pose_45"."""
        conditions = {"occlusion": tf.int64, "pose_30": tf.bool, "pose_45": tf.bool}
        names = {*self._names(), "votes", "id", *conditions}
        example = parse(serialised, features=self.features, names=names)
        listed = {name: _listed(example, name, kind) for name, kind in conditions.items()}
        classes = self.features["label"].num_classes
        votes = example.get("votes", tf.zeros([tf.size(example["label"]), classes]))
        votes = tf.where(tf.math.is_nan(votes), 0.0, votes)
        return {**self._faces(example), "votes": votes, "id": example["id"], **listed}

    def _names(self) -> list[str]:
        votes = ["votes"] if self.target == "votes" else []
        return ["image", "label", "landmarks", *votes]

    def _faces(self, example) -> dict:
        classes = self.features["label"].num_classes
        nowhere = tf.fill([tf.size(example["label"]), len(vocabulary.LANDMARKS), 2], float("nan"))
        return {
            "image": self._images(example["image"]),
            "labels": ops.to_target(example, target=self.target, num_classes=classes),
            "label": example["label"],
            "landmarks": example.get("landmarks", nowhere),
        }

    def _images(self, encoded):
        """u8[b, height, width, 3] of string[b]."""

        def decode(image):
            # Grey faces too have three channels: to repeat theirs afterwards takes longer. PNG is
            # decoded, too. The transform is the one of `ran_tf.images.decoding`; TensorFlow's own
            # choice is faster and up to 14 grey levels off.
            return tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")

        height, width, _ = self.features["image"].shape
        if height is None or width is None:
            return tf.map_fn(
                lambda image: ops.to_face(decode(image), size=self.size),
                encoded,
                fn_output_signature=tf.TensorSpec([*self.size, 3], tf.uint8),
            )
        stored = tf.TensorSpec([height, width, 3], tf.uint8)
        return ops.to_face(tf.map_fn(decode, encoded, fn_output_signature=stored), size=self.size)


def batches(
    faces: tf.data.Dataset, *, start: int, batch_size: int, share: Share
) -> tf.data.Dataset:
    """(positions i64[b], faces) of every batch, for one replica of the share after another.

    Args:
      faces: in order: records, or numbers of faces.
      start: position of the first.
      batch_size: of all replicas together.
      share: what this process wants.
    """
    whole = faces.enumerate(start).batch(batch_size)
    if share.total == 1:
        return whole

    def split(*batch):
        replicas = tf.data.Dataset.range(share.first, share.first + share.count)
        return replicas.map(
            lambda r: tf.nest.map_structure(lambda rows: rows[r :: share.total], batch)
        )

    return whole.flat_map(split)


def _listed(example: dict, name: str, dtype: tf.DType):
    """A feature that datasets without the authors' lists do not have."""
    return example.get(name, tf.zeros(tf.shape(example["label"]), dtype))
