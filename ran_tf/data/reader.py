"""A prepared split in the order of its files, decoded and in batches, shared out over replicas."""

import dataclasses

import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf import specs
from ran_tf.config import DataConfig, check_range
from ran_tf.data import ops


@dataclasses.dataclass(frozen=True)
class Share:
    """Which faces of every batch a process reads: those of some of the replicas.

    Of a batch, replica r has the faces at r, r + total, r + 2 total and so on: all of them are
    somebody's, none are two replicas', and numbers differ by one at most. In a last batch that is
    smaller than `total` some replicas have none.

    Attributes:
      first, count: replicas first..first+count-1.
      total: replicas of all processes.
    """

    first: int = 0
    count: int = 1
    total: int = 1

    def __post_init__(self):
        check_range("share.total", self.total, low=1)
        check_range("share.first", self.first, low=0, high=self.total - 1)
        check_range("share.count", self.count, low=1, high=self.total - self.first)


# Everything, as one replica reads it.
WHOLE = Share()


class Reader:
    """Reads a split in the order of its files, and decodes faces when they are wanted."""

    def __init__(self, data: DataConfig, builder: tfds.core.DatasetBuilder):
        self._size, self._target, self._builder = data.image_size, data.target, builder

    def encoded(self, split: str) -> tf.data.Dataset:
        """Examples with images still encoded: cheap to order, filter and skip."""
        return self._builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(try_autocache=False, add_tfds_id=False),
            shuffle_files=False,
        )

    def decode(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        """Faces at the pipeline's size, in the same order."""
        return examples.map(self._to_face, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def batches(
        self, faces: tf.data.Dataset, *, start: int, batch_size: int, share: Share, decoded: bool
    ) -> tf.data.Dataset:
        """(positions i64[b], faces) of every batch, for one replica of the share after another.

        Args:
          faces: in order, decoded or not.
          start: position of the first.
          batch_size: of all replicas together.
          share: what this process wants; no other face is decoded.
          decoded: whether faces are decoded already.
        """
        if share.total == 1 and not decoded:
            faces, decoded = self.decode(faces), True
        batches = faces.enumerate(start).batch(batch_size)
        if share.total == 1:
            return batches

        def split(*batch):
            replicas = tf.data.Dataset.range(share.first, share.first + share.count)
            return replicas.map(
                lambda r: tf.nest.map_structure(lambda rows: rows[r :: share.total], batch)
            )

        batches = batches.flat_map(split)
        if decoded:
            return batches
        # By batches here: faces that were decoded one by one could not be put into batches again
        # of which some are empty.
        face = self.decode(faces).element_spec
        return batches.map(
            lambda positions, examples: (
                positions,
                tf.map_fn(self._to_face, examples, fn_output_signature=face),
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _to_face(self, example):
        features = self._builder.info.features
        image = features["image"].decode_example(example["image"])
        nowhere = tf.fill([len(specs.LANDMARKS), 2], float("nan"))
        return {
            "image": ops.to_face(image, size=self._size),
            "labels": ops.to_target(
                example, target=self._target, num_classes=features["label"].num_classes
            ),
            "label": example["label"],
            "id": example["id"],
            # Datasets without the authors' lists or landmarks have no such features.
            "occlusion": example.get("occlusion", tf.constant(0, tf.int64)),
            "pose_30": example.get("pose_30", tf.constant(False)),
            "pose_45": example.get("pose_45", tf.constant(False)),
            "landmarks": example.get("landmarks", nowhere),
        }
