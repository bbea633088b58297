"""Which of the faces of a photo is taken: first what is a face at all, then the largest."""

from collections.abc import Sequence

import numpy as np

from ran_tf.checks import check_choice
from ran_tf.faces.align import TEMPLATE, similarity
from ran_tf.faces.face import Face

CHOICES = ("largest", "centre")

# A face may be less plausible than the best of its photo by so much. In the photos of
# tests/fixtures/photo_faces.py, with MTCNN's lowest score at 0.5, a glass of wine has 0.15 less
# than the best face beside it and a bulb 0.19; real faces have at most 0.085 less.
MARGIN = 0.1
# How far landmarks may lie from those of a frontal face, as a fraction of their spread: below the
# first all is well, at the second they are no face's. Those of a man in profile lie 0.38 away.
NEAR, FAR = 0.5, 0.8


def choose_face(faces: Sequence[Face], *, shape: Sequence[int], rule: str = "largest") -> Face:
    """Picks one face of a photo, among those that are about as plausible as the best.

    Args:
      faces: at least one.
      shape: of the photo, [H,W,...].
      rule: "largest" (area of the box) or "centre" (box nearest to the photo's centre).

    Raises:
      ValueError: if there is no face, or no such rule.

    Example:
      >>> eyes_nose_mouth = np.float32([[3, 4], [7, 4], [5, 6], [3.5, 8], [6.5, 8]])
      >>> face = ran_tf.faces.Face(np.float32([2, 2, 9, 8]), 0.99, eyes_nose_mouth)
      >>> glass = ran_tf.faces.Face(np.float32([0, 20, 30, 50]), 0.85, 3 * eyes_nose_mouth + 20)
      >>> ran_tf.faces.choose_face([face, glass], shape=(60, 60, 3)).score
      0.99
    """
    check_choice("choose", rule, CHOICES)
    if not faces:
        raise ValueError(f"`faces` must hold at least one face. Received: faces={faces!r}")
    likely = [plausibility(face) for face in faces]
    faces = [face for face, one in zip(faces, likely, strict=True) if one >= max(likely) - MARGIN]
    if rule == "largest":
        return max(faces, key=lambda face: face.area)
    y0, x0, y1, x1 = np.stack([face.box for face in faces]).T
    distances = np.hypot((y0 + y1 + 1 - shape[0]) / 2, (x0 + x1 + 1 - shape[1]) / 2)
    return faces[int(np.argmin(distances))]


def plausibility(face: Face) -> float:
    """The score of a face, 0..1, less where its landmarks do not lie as those of a face do."""
    spread = np.sqrt(np.mean((face.landmarks - face.landmarks.mean(axis=0)) ** 2))
    if not spread > 1e-3:
        return 0.0
    matrix = similarity(TEMPLATE, face.landmarks.astype(np.float64))
    expected = TEMPLATE @ matrix[:, :2].T + matrix[:, 2]
    off = np.sqrt(np.mean((face.landmarks - expected) ** 2)) / spread
    return face.score * float(np.clip((FAR - off) / (FAR - NEAR), 0, 1))
