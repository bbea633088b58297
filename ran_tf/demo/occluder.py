"""A rectangle that covers part of a face."""

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ran_tf.checks import check_range

_SIDES = ("y0", "x0", "y1", "x1")
# Dark, and not black: neither hair nor a shadow nor a missing pixel. The page draws the same.
GREY = 58


@dataclasses.dataclass(frozen=True)
class Occluder:
    """A rectangle, sides as fractions of the face: 0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1."""

    y0: float
    x0: float
    y1: float
    x1: float

    def __post_init__(self):
        for side in _SIDES:
            check_range(side, getattr(self, side), low=0.0, high=1.0)
        if not (self.y0 < self.y1 and self.x0 < self.x1):
            raise ValueError(f"an occluder must have y0 < y1 and x0 < x1. Received: {self}")

    @property
    def area(self) -> float:
        """Share of the face that it covers."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)


def read_occluder(value) -> Occluder | None:
    """What a browser sent, which may be anything.

    Args:
      value: None for no occluder, or a mapping with numbers y0, x0, y1, x1.

    Raises:
      ValueError: for anything else.
    """
    if value is None:
        return None
    numbers: list[Any] = [None]
    if isinstance(value, Mapping):
        numbers = [value.get(side) for side in _SIDES]
    # Whole numbers of JSON may be too large for a float; nothing near this bound is valid.
    if not all(isinstance(n, (int, float)) and abs(n) < 1e9 for n in numbers):
        raise ValueError(
            f"an occluder must be none or have finite numbers {', '.join(_SIDES)}. "
            f"Received: {reprlib.repr(value)}"
        )
    return Occluder(*map(float, numbers))


def cover(face: np.ndarray, occluder: Occluder | None) -> np.ndarray:
    """Draws an occluder.

    A pixel that is covered in part is blended, so that the occluder of a face of 48 pixels moves
    smoothly and covers the same part of faces of every size.

    Args:
      face: u8[h, w, 3].
      occluder: None covers nothing.

    Returns:
      u8[h, w, 3]
    """
    if occluder is None:
        return face
    height, width = face.shape[:2]
    rows = _covered(occluder.y0 * height, occluder.y1 * height, height)
    columns = _covered(occluder.x0 * width, occluder.x1 * width, width)
    alpha = (rows[:, np.newaxis] * columns)[..., np.newaxis]
    return np.round(face * (1.0 - alpha) + GREY * alpha).astype(np.uint8)


def _covered(low: float, high: float, count: int) -> np.ndarray:
    """How much of each of `count` pixels lies between low and high: f64[count]."""
    pixels = np.arange(count)
    return np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0.0, 1.0)
