"""Square views of a photo, turned and resized, and the way from their pixels back to it."""

import dataclasses

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a view lies in a photo.

    Attributes:
      centre: f64[2], x,y in pixels of the photo; pixel centres lie at whole numbers.
      side: of the square, in pixels of the photo.
      angle: by which what is seen is turned in the photo, clockwise, in radians: in the view it is
        upright.
    """

    centre: np.ndarray
    side: float
    angle: float = 0.0


def cut(image: np.ndarray, place: Place, *, size: int) -> np.ndarray:
    """Cuts a view out of a photo u8[H,W,3], whose border is repeated outside: u8[size,size,3]."""
    height, width = image.shape[:2]
    # Of what lies askew the corners reach further.
    reach = place.side * (abs(np.cos(place.angle)) + abs(np.sin(place.angle))) / 2 + 2
    low = np.clip(np.floor(place.centre - reach), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(place.centre + reach) + 1, low + 1, (width, height)).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = size / place.side
    factor = np.ones(2)
    if scale < 1:
        # First, because a warp takes four pixels for one and would skip others.
        sides = np.maximum(1, np.round((high - low) * scale)).astype(int)
        factor = sides / (high - low)
        part = cv2.resize(part, sides.tolist(), interpolation=cv2.INTER_AREA)
    linear = scale * _turn(place.angle)
    # Pixel q of the part was at (q + 0.5) / factor - 0.5 + low of the photo.
    shift = linear @ (0.5 / factor - 0.5 + low - place.centre) + (size - 1) / 2
    matrix = np.column_stack([linear / factor, shift])
    return cv2.warpAffine(
        part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def restore(points: np.ndarray, place: Place, *, size: int) -> np.ndarray:
    """Points [n,2], x,y in pixels of a view, in those of the photo."""
    offsets = (np.asarray(points) - (size - 1) / 2) * (place.side / size)
    # By the inverse, which is the transpose.
    return offsets @ _turn(place.angle) + place.centre


def _turn(angle: float) -> np.ndarray:
    """f64[2,2], of an offset in the photo to that in a view."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])
