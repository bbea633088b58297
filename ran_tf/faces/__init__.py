"""From photos to faces: five landmarks, and a crop aligned to them."""

from ran_tf.faces.align import AlignedFace, align_face
from ran_tf.faces.detect import DetectorConfig, Face, choose_face, create_detector

__all__ = [
    "AlignedFace",
    "DetectorConfig",
    "Face",
    "align_face",
    "choose_face",
    "create_detector",
]
