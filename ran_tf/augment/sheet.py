"""What occluders are painted on: colour and opacity, by soft shapes and cloth of many patterns.

A sheet reaches beyond the face on all sides, so that an arm still comes from somewhere when a hand
is moved. Points are x, y in fractions of the face: 0, 0 its upper left corner, 1, 1 its lower right
one.
"""

import cv2
import numpy as np

from ran_tf.augment.cover import MARGIN

# Side of a sheet in pixels while it is painted, and when it is done.
_PAINTED = 144
SIDE = 96

# Bits behind the point of a coordinate, for OpenCV.
_BITS = 4


class Sheet:
    """Colour f32[s, s, 3] in 0..255 and opacity f32[s, s] in 0..1."""

    def __init__(self):
        self.colour = np.zeros((_PAINTED, _PAINTED, 3), np.float32)
        self.opacity = np.zeros((_PAINTED, _PAINTED), np.float32)

    def paint(self, shape: np.ndarray, colour, *, opacity: float = 1.0) -> None:
        """Lays a colour, or f32[s, s, 3] of them, on a shape f32[s, s] in 0..1."""
        share = shape * opacity
        self.colour += share[..., None] * (np.asarray(colour, np.float32) - self.colour)
        self.opacity += share * (1.0 - self.opacity)

    def cut(self, shape: np.ndarray) -> None:
        """Takes everything off a shape."""
        self.opacity *= 1.0 - shape

    def pixels(self) -> np.ndarray:
        """u8[SIDE, SIDE, 4]: colour times opacity, and opacity."""
        opacity = self.opacity[..., None]
        both = np.concatenate([self.colour * opacity, 255.0 * opacity], axis=-1)
        small = cv2.resize(both, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return np.round(small).clip(0, 255).astype(np.uint8)


def _to_pixels(points) -> np.ndarray:
    places = (np.asarray(points, np.float64) + MARGIN) / (1.0 + 2.0 * MARGIN) * _PAINTED - 0.5
    return np.round(places * 2**_BITS).astype(np.int32)


def polygon(points, *, soft: float = 0.0) -> np.ndarray:
    """A filled outline: f32[s, s]; `soft` blurs its edge, fraction of the face."""
    mask = np.zeros((_PAINTED, _PAINTED), np.uint8)
    cv2.fillPoly(mask, [_to_pixels(points)], 255, cv2.LINE_AA, _BITS)
    return _soften(mask, soft)


def blob(points, *, soft: float = 0.0) -> np.ndarray:
    """A filled outline with round corners, inside of its points (Chaikin's rule, three times)."""
    points = np.asarray(points, np.float64)
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack(
            [0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1
        ).reshape(-1, 2)
    return polygon(points, soft=soft)


def ellipse(centre, axes, *, angle: float = 0.0, power: float = 2.0) -> np.ndarray:
    """Half lengths `axes`, `angle` in radians; a power above 2 gives a box with round corners."""
    turn = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = (
        np.sign(v) * np.abs(v) ** (2.0 / power) * a for v, a in zip((cos, sin), axes, strict=True)
    )
    c, s = np.cos(angle), np.sin(angle)
    return polygon(np.stack([c * x - s * y, s * x + c * y], axis=-1) + np.asarray(centre))


def stroke(points, width: float, *, soft: float = 0.0) -> np.ndarray:
    """A line of points with round ends: f32[s, s]."""
    mask = np.zeros((_PAINTED, _PAINTED), np.uint8)
    thick = max(1, round(width / (1.0 + 2.0 * MARGIN) * _PAINTED))
    cv2.polylines(mask, [_to_pixels(points)], False, 255, thick, cv2.LINE_AA, _BITS)
    return _soften(mask, soft)


def _soften(mask, soft: float) -> np.ndarray:
    mask = mask.astype(np.float32) / 255.0
    sigma = soft / (1.0 + 2.0 * MARGIN) * _PAINTED
    return cv2.GaussianBlur(mask, (0, 0), sigma) if sigma > 0.3 else mask


def clouds(rng, *, size: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, its patches `size` of the face: f32[s, s]."""
    cells = max(2, round((1.0 + 2.0 * MARGIN) / size))
    coarse = rng.normal(size=(cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (_PAINTED, _PAINTED), interpolation=cv2.INTER_CUBIC)


def shaded(colour, rng, *, depth: float = 0.12) -> np.ndarray:
    """A colour in uneven light: f32[s, s, 3] in 0..255."""
    y, x = np.mgrid[0 : 1 : _PAINTED * 1j, 0 : 1 : _PAINTED * 1j].astype(np.float32) - 0.5
    lean = rng.normal(0.0, 2.0 * depth, 2)
    light = 1.0 + depth * clouds(rng, size=0.3) + lean[0] * x + lean[1] * y
    return np.clip(np.asarray(colour, np.float32) * light[..., None], 0.0, 255.0)


def cloth(rng, *, base=None) -> np.ndarray:
    """Plain, striped, chequered, dotted or mottled cloth: f32[s, s, 3] in 0..255."""
    base = any_colour(rng) if base is None else np.asarray(base, np.float32)
    field = shaded(base, rng)
    pattern = rng.choice(
        ["plain", "stripes", "checks", "dots", "mottle"], p=[0.5, 0.15, 0.1, 0.1, 0.15]
    )
    if pattern == "plain":
        return field
    y, x = np.mgrid[0:_PAINTED, 0:_PAINTED].astype(np.float32) / _PAINTED * (1.0 + 2.0 * MARGIN)
    angle, gap = rng.uniform(0.0, np.pi), rng.uniform(0.06, 0.2)
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    waves = {
        "stripes": np.sin(2.0 * np.pi * u / gap),
        "checks": np.sin(2.0 * np.pi * u / gap) * np.sin(2.0 * np.pi * v / gap),
        "dots": np.sin(np.pi * u / gap) ** 2 + np.sin(np.pi * v / gap) ** 2 - 1.5,
        "mottle": clouds(rng, size=gap),
    }
    share = np.clip(0.5 + 3.0 * waves[pattern], 0.0, 1.0)[..., None]
    return (1.0 - share) * field + share * shaded(any_colour(rng), rng)


def any_colour(rng) -> np.ndarray:
    """f32[3]: any lightness, mostly weak colours."""
    grey = rng.uniform(8.0, 248.0)
    return np.clip(grey + rng.normal(0.0, rng.choice([4.0, 40.0]), 3), 0.0, 255.0).astype(
        np.float32
    )
