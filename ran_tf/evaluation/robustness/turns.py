"""Faces turned to the side, made of frontal ones: a part of what a pose does to a picture.

Takes a face u8[h, w, 3] and a `numpy.random.Generator`, and returns a new face.
"""

import cv2
import numpy as np

from ran_tf import checks

# The picture covers this half angle of a cylinder, radians: it ends before the ears.
_HALF = 1.2


def turn_face(face: np.ndarray, *, degrees: float) -> np.ndarray:
    """Turns a face that is painted on an upright cylinder as wide as the picture.

    The far side shrinks, the near side widens, and what comes into sight from beyond the picture
    repeats its edge. No real profile looks so (there is no nose in it): good for comparing models.

    Args:
      face: u8[h, w, 3].
      degrees: positive turns the left of the picture away, -60..60.

    Returns:
      u8[h, w, 3]
    """
    checks.check_range("degrees", degrees, low=-60.0, high=60.0)
    height, width = face.shape[:2]
    x = ((np.arange(width) + 0.5) / width * 2.0 - 1.0) * np.sin(_HALF)
    angle = np.clip(np.arcsin(x) + np.radians(degrees), -_HALF, _HALF)
    source = (np.sin(angle) / np.sin(_HALF) + 1.0) / 2.0 * width - 0.5
    columns, rows = np.meshgrid(source.astype(np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(face, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def turn(face, rng):
    """To one side, by 20 to 45 degrees."""
    return turn_face(face, degrees=rng.choice([-1.0, 1.0]) * rng.uniform(20.0, 45.0))


TURNS = {"turn": turn}
