"""Operations of the data pipeline on examples and batches (TensorFlow, in tf.data or eager)."""

import numpy as np
import tensorflow as tf

from ran_tf import resampling
from ran_tf.config import RegionConfig, unknown
from ran_tf.regions import boxes as region_boxes

# Positions whose random numbers are drawn together.
_BLOCK = 64


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


def uniform_draws(positions, *, count: int, seed: int, stream: int):
    """Uniform numbers that depend on nothing but seed, stream and position: f32[b, count] in 0..1.

    So every replica, and every resumed run, draws the same for the same example.

    Args:
      positions: i64[b], how many examples came before each since training began.
      count: how many numbers of each.
      seed: the run's seed.
      stream: tells apart the uses of randomness (see `pipeline`).
    """
    if count == 0:
        return tf.zeros([tf.shape(positions)[0], 0])
    # By blocks: neighbours share a call of the generator, which costs more than its numbers.
    blocks, block = tf.unique(positions // _BLOCK, out_idx=tf.int64)
    drawn = tf.map_fn(
        lambda number: tf.random.stateless_uniform(
            [_BLOCK, count], seed=tf.stack([tf.cast(seed, tf.int64) * 16 + stream, number])
        ),
        blocks,
        fn_output_signature=tf.TensorSpec([_BLOCK, count], tf.float32),
    )
    return tf.gather(tf.reshape(drawn, [-1, count]), block * _BLOCK + positions % _BLOCK)


def batch_regions(landmarks, draws, *, regions: RegionConfig):
    """Boxes and mask of a batch of faces.

    Args:
      landmarks: f32[b, 5, 2], read with kind="landmarks" only.
      draws: f32[b, 3 (k-1)], read with kind="random" only.
      regions: which regions.

    Returns:
      boxes f32[b, k, 4], mask bool[b, k].
    """
    batch = tf.shape(landmarks)[0]
    k = regions.k
    if regions.follow_landmarks:
        boxes, mask = tf.numpy_function(
            lambda points: region_boxes.landmark_boxes(points, radius=regions.radius),
            [landmarks],
            [tf.float32, tf.bool],
            stateful=False,
        )
    elif regions.kind == "random" and k > 1:
        boxes = tf.numpy_function(
            lambda d: region_boxes.boxes_from_draws(d.reshape(-1, k - 1, 3)),
            [draws],
            tf.float32,
            stateful=False,
        )
        mask = tf.ones([batch, k], tf.bool)
    elif regions.kind == "fixed" or k == 1:
        fixed = region_boxes.fixed_boxes(k, variant=regions.variant)
        boxes = tf.tile(tf.constant(fixed[np.newaxis]), [batch, 1, 1])
        mask = tf.ones([batch, k], tf.bool)
    else:
        raise unknown("regions.kind", regions.kind)
    return tf.ensure_shape(boxes, [None, k, 4]), tf.ensure_shape(mask, [None, k])
