"""The features that every face dataset here shares."""

import numpy as np
import tensorflow_datasets as tfds

from ran_tf.vocabulary import OCCLUSIONS


def face_features(
    *, image_shape: tuple[int | None, int | None, int], emotions: tuple[str, ...] | None
) -> dict[str, tfds.features.FeatureConnector]:
    """Features of one face.

    Args:
        image_shape: `(height, width, channels)`, None where it varies.
        emotions: names of the classes, in index order; None where the build sets them.

    Returns:
        Feature connectors by name:
        image: u8[H,W,C].
        label: i64 index into `emotions`.
        id: the key of the face in its dataset.
        occlusion: i64 index into `vocabulary.OCCLUSIONS`.
        pose_30, pose_45: bool, turned by more than 30 or 45 degrees.
        landmarks: f32[5,2], x and y in 0..1 of the image-left eye, image-right eye, nose,
          image-left and image-right mouth corner; NaN where unknown.
    """
    return {
        "image": tfds.features.Image(shape=image_shape, dtype=np.uint8, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=emotions),
        "id": tfds.features.Text(),
        "occlusion": tfds.features.ClassLabel(names=OCCLUSIONS),
        "pose_30": np.bool_,
        "pose_45": np.bool_,
        "landmarks": tfds.features.Tensor(shape=(5, 2), dtype=np.float32),
    }
