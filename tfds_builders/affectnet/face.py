"""What both releases of AffectNet share: the vocabulary, the five points, and the encoding."""

import cv2
import numpy as np

from ran_tf.vocabulary import LABELS

#: By number: 0..7 are the classes; images of 8..10, which are no emotion, are left out.
EXPRESSIONS = (*LABELS["affectnet"], "none", "uncertain", "non-face")

#: Landmarks of a face in the 68-point scheme that both releases use.
POINTS = 68
_EYES = (slice(36, 42), slice(42, 48))
_NOSE_TIP = 30
_MOUTH_CORNERS = (48, 54)

_JPEG_QUALITY = 95


def five_landmarks(points: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Eye centres, nose tip and mouth corners, from the 68 points.

    Args:
        points: f32[68,2], x and y in pixels of the stored image.
        width, height: of the stored image, pixels.

    Returns:
        f32[5,2], x and y in 0..1 (beyond, where a point lies outside the image): image-left eye,
        image-right eye, nose, image-left and image-right mouth corner.
    """
    eyes = sorted((points[eye].mean(axis=0) for eye in _EYES), key=lambda point: point[0])
    mouth = sorted((points[corner] for corner in _MOUTH_CORNERS), key=lambda point: point[0])
    five = np.stack([*eyes, points[_NOSE_TIP], *mouth])
    return (five / (width, height)).astype(np.float32)


def parse_expression(value: str | int, *, source: str) -> int:
    """Index into `EXPRESSIONS`; raises ValueError for anything else."""
    try:
        expression = int(value)
    except ValueError:
        expression = -1
    if not 0 <= expression < len(EXPRESSIONS):
        raise ValueError(
            f"{source}: the expression must be 0..{len(EXPRESSIONS) - 1} "
            f"({', '.join(EXPRESSIONS)}): get the file again. Received: expression={value!r}"
        )
    return expression


def to_jpeg(pixels: np.ndarray) -> bytes:
    """Encodes u8[H,W,3], RGB."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes()
