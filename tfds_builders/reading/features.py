"""The features that every face dataset here shares, and the vocabulary in them."""

import numpy as np
import tensorflow_datasets as tfds

#: The eight emotions in the order of FERPlus' vote columns; also that of the synthetic faces.
FERPLUS_EMOTIONS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)

#: FER2013's emotions in the order of its numbers 0..6.
FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

#: RAF-DB's emotions: its official labels 1..7 less one.
RAF_DB_EMOTIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")

#: SFEW's emotions: its folders in alphabetical order.
SFEW_EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

#: What hides a part of the face. In the authors' FERPlus list types 0..3 are upper..glasses.
OCCLUSIONS = ("none", "upper", "lower", "side", "glasses")


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
        occlusion: i64 index into `OCCLUSIONS`.
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
