"""Operations of the data pipeline on examples and batches (TensorFlow, in tf.data or eager)."""

import tensorflow as tf

from ran_tf.augment import draws
from ran_tf.checks import unknown
from ran_tf.config import RegionConfig
from ran_tf.images import resampling
from ran_tf.regions import kinds


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset without tf.data's autotuner.

    The tuner's thread sleeps up to a minute, and the end of an iterator often waits for it to wake
    (TensorFlow 2.21), after every epoch.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def to_face(image, *, size: tuple[int, int]):
    """Resizes a face to the pipeline's size and gives grey faces three equal channels.

    Args:
      image: u8[H, W, C] or u8[b, H, W, C], C 1 or 3.
      size: (height, width) in pixels.

    Returns:
      u8[height, width, 3] or u8[b, height, width, 3], see `resampling`.
    """
    if image.shape[-1] == 1:
        image = tf.repeat(image, 3, axis=-1)
    return resampling.resize_tensor(image, size=size)


def to_target(example, *, target: str, num_classes: int):
    """What the classifier should say: f32[b, n], rows of votes or one-hot labels."""
    if target == "votes":
        return tf.cast(example["votes"], tf.float32)
    if target == "label":
        return tf.one_hot(example["label"], num_classes)
    raise unknown("data.target", target)


def face_keys(positions, *, seed: int):
    """`draws.face_keys` in a graph: i32[b] of positions i64[b]."""
    keys = tf.numpy_function(
        lambda numbers: draws.face_keys(seed, numbers), [positions], tf.int32, stateful=False
    )
    return tf.ensure_shape(keys, [None])


def batch_regions(landmarks, keys, *, regions: RegionConfig) -> dict:
    """The regions of a batch of faces.

    Args:
      landmarks: f32[b, 5, 2].
      keys: i32[b], of `face_keys`.
      regions: which regions.

    Returns:
      dict: boxes f32[b, k, 4], mask bool[b, k]; follows bool[b, k] where regions move with the
      face.
    """
    boxes, mask = tf.numpy_function(
        lambda points, keys: kinds.make_regions(regions, points, keys),
        [landmarks, keys],
        [tf.float32, tf.bool],
        stateful=False,
    )
    found = {
        "boxes": tf.ensure_shape(boxes, [None, regions.k, 4]),
        "mask": tf.ensure_shape(mask, [None, regions.k]),
    }
    if regions.follow_landmarks:
        found["follows"] = tf.tile(tf.range(regions.k)[tf.newaxis] > 0, [tf.shape(landmarks)[0], 1])
    return found
