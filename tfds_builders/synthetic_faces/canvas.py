"""The canvas, and the head on it: from head units to pixels."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

Colour = tuple[int, int, int]
Points = Sequence[Sequence[float] | np.ndarray] | np.ndarray

#: Points of the unit circle, f64[32,2].
CIRCLE = np.array([(math.cos(turn), math.sin(turn)) for turn in np.arange(32) * math.pi / 16])
_SUBPIXEL_BITS = 4  # OpenCV takes fixed-point coordinates


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second` in it."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, amount: float) -> float:
    """A number in -amount..amount."""
    return rng.uniform(-amount, amount)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """An ellipsoid, turned about its vertical axis, seen from the front.

    Attributes:
        centre: x and y in pixels.
        half_width, half_height: in pixels.
        yaw: radians about the vertical axis, positive towards the image's right.
        roll: radians in the picture's plane.
    """

    centre: tuple[float, float]
    half_width: float
    half_height: float
    yaw: float
    roll: float

    @functools.cached_property
    def _axes(self) -> np.ndarray:
        """Pixels along x and y of one step in u and of one in v, f64[2,2]."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cos, sin], [-sin, cos]]) * [[self.half_width], [self.half_height]]

    def plane(self, points: Points) -> np.ndarray:
        """Pixel positions f64[n,2] of points (u, v) that do not turn with the head."""
        return np.asarray(points, dtype=np.float64) @ self._axes + self.centre

    def surface(self, points: Points, *, depth: float = 1.0) -> np.ndarray:
        """Pixel positions f64[n,2] of points (u, v) on the turned head.

        What is turned out of sight comes to lie on the rim.

        Args:
            points: f[n,2].
            depth: distance from the axis, in radii of the head; a nose stands out.
        """
        turned = np.array(points, dtype=np.float64)
        u, v = turned.T
        radius = np.sqrt(np.maximum(1 - v * v, 0.05))
        angle = np.arcsin(_limit(u / radius, 1)) + self.yaw
        turned[:, 0] = depth * radius * np.sin(_limit(angle, math.pi / 2))
        return self.plane(turned)

    def px(self, length: float) -> int:
        """A length in head units as a whole number of pixels, at least one."""
        return max(1, round(length * self.half_width))


class Canvas:
    """A square RGB picture that shapes are painted on.

    Attributes:
        side: pixels.
        pixels: u8[side,side,3].
    """

    def __init__(self, side: int):
        self.side = side
        self.pixels = np.zeros((side, side, 3), dtype=np.uint8)

    def polygon(self, points: np.ndarray, colour: Colour):
        """Fills a polygon given by pixel positions f[n,2]."""
        cv2.fillPoly(self.pixels, [_fixed(points)], colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def stroke(self, points: np.ndarray, colour: Colour, thickness: int):
        """Draws an open line through pixel positions f[n,2]."""
        cv2.polylines(
            self.pixels, [_fixed(points)], False, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
        )

    def ellipse(
        self,
        head: Head,
        middle: np.ndarray | Sequence[float],
        radii: Sequence[float],
        colour: Colour,
    ):
        """Fills an ellipse on the picture's plane, `middle` and `radii` in head units."""
        self.polygon(head.plane(CIRCLE * radii + middle), colour)

    def soften(self, sigma: float):
        """Blurs all that was painted so far; `sigma` in pixels."""
        self.pixels = cv2.GaussianBlur(self.pixels, (0, 0), sigma)


def _limit(values: np.ndarray, bound: float) -> np.ndarray:
    """Clips to -bound..bound (`np.clip` costs more than the arithmetic on a dozen points)."""
    return np.minimum(np.maximum(values, -bound), bound)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
