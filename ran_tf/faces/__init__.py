"""From photos to faces: five landmarks, and a crop aligned to them."""

from ran_tf.faces.align import AlignedFace, align_face
from ran_tf.faces.choose import choose_face
from ran_tf.faces.detect import DetectorConfig, create_detector
from ran_tf.faces.face import Face

__all__ = [
    "AlignedFace",
    "DetectorConfig",
    "Face",
    "align_face",
    "choose_face",
    "create_detector",
]
