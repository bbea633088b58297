"""What is not the face: the background, and the things that hide a part of it."""

import math

import cv2
import numpy as np

from tfds_builders.synthetic_faces.canvas import CIRCLE, Canvas, Colour, Head, blend, jitter


def _any_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(20, 236, size=3))
    return red, green, blue


def draw_background(canvas: Canvas, rng: np.random.Generator):
    """Two colours running into each other, and a few things out of focus."""
    top, bottom = _any_colour(rng), _any_colour(rng)
    side = canvas.side // 8  # a small picture, enlarged, is out of focus
    picture = np.linspace(top, bottom, side).astype(np.uint8)[:, np.newaxis].repeat(side, axis=1)
    for _ in range(rng.integers(0, 6)):
        y, x, height, width = rng.integers((0, 0, 2, 2), (side, side, side // 2, side // 2))
        picture[y : y + height, x : x + width] = blend(_any_colour(rng), top, 0.4)
    cv2.resize(picture, (canvas.side, canvas.side), dst=canvas.pixels)


def draw_glasses(canvas: Canvas, head: Head, rng: np.random.Generator, *, skin: Colour):
    """Tinted glasses: eyes, and the brows in part."""
    del skin
    frame = blend(_any_colour(rng), (20, 20, 20), 0.7)
    lens = blend(_any_colour(rng), (15, 15, 20), 0.8)
    clear = canvas.pixels.copy()
    radii = np.array([rng.uniform(0.32, 0.38), rng.uniform(0.24, 0.3)])
    squareness = rng.uniform(0.6, 1.0)  # below 1 the lens has corners
    outline = np.sign(CIRCLE) * np.abs(CIRCLE) ** squareness * radii
    lenses = [head.surface(outline + np.array([side * 0.44, -0.05])) for side in (-1, 1)]
    for points in lenses:
        canvas.polygon(points, lens)
    tint = rng.uniform(0.75, 1.0)
    canvas.pixels = cv2.addWeighted(canvas.pixels, tint, clear, 1 - tint, 0)
    for points in lenses:
        canvas.stroke(np.concatenate([points, points[:1]]), frame, head.px(0.06))
    canvas.stroke(head.surface([(-0.12, -0.08), (0.12, -0.08)]), frame, head.px(0.06))
    for side in (-1, 1):
        canvas.stroke(head.surface([(side * 0.78, -0.08), (side, -0.04)]), frame, head.px(0.06))


def draw_hat(canvas: Canvas, head: Head, rng: np.random.Generator, *, skin: Colour):
    """A hat pulled down over the brows."""
    del skin
    colour = _any_colour(rng)
    brim = rng.uniform(-0.16, -0.1)
    crown = [(-1.05, brim), (-0.95, -1.15), (-0.4, -1.4), (0.4, -1.4), (0.95, -1.15), (1.05, brim)]
    canvas.polygon(head.plane(crown), colour)
    band = [(-1.04, brim - 0.08), (1.04, brim - 0.08)]
    canvas.stroke(head.plane(band), blend(colour, (10, 10, 10), 0.5), head.px(0.16))
    canvas.ellipse(head, (jitter(rng, 0.1), brim - 0.02), (1.3, 0.1), blend(colour, (0, 0, 0), 0.3))


def _draw_hand(
    canvas: Canvas, head: Head, *, palm: np.ndarray, fingertips: np.ndarray, skin: Colour
):
    """A palm and a finger to each of `fingertips`; points (u, v) on the picture's plane."""
    shade = blend(skin, (40, 20, 20), 0.35)
    # First everything a little larger and darker, then the skin: an outline round each finger.
    canvas.ellipse(head, palm, (0.4, 0.32), shade)
    canvas.ellipse(head, palm, (0.37, 0.3), skin)
    knuckles = palm + 0.3 * (fingertips - palm)
    for knuckle, fingertip in zip(knuckles, fingertips, strict=True):
        finger = head.plane([knuckle, fingertip])
        canvas.stroke(finger, shade, head.px(0.24))
        canvas.stroke(finger, skin, head.px(0.19))


def draw_hand_over_mouth(canvas: Canvas, head: Head, rng: np.random.Generator, *, skin: Colour):
    """A hand laid across the mouth."""
    side = rng.choice((-1, 1))
    palm = np.array([side * 0.6, 0.68 + jitter(rng, 0.05)])
    heights = np.linspace(0.42, 0.86, 4) + jitter(rng, 0.04)
    reach = -side * (0.5 + 0.12 * np.sin(np.linspace(0.3, 2.6, 4)))
    _draw_hand(canvas, head, palm=palm, fingertips=np.stack([reach, heights], axis=-1), skin=skin)


def draw_hand_on_cheek(canvas: Canvas, head: Head, rng: np.random.Generator, *, skin: Colour):
    """A hand on one cheek, its fingers up to the brow."""
    side = rng.choice((-1, 1))
    palm = np.array([side * 0.62, 0.62 + jitter(rng, 0.06)])
    u = side * (np.linspace(0.22, 0.9, 4) + jitter(rng, 0.06))
    v = -0.42 + 0.1 * np.cos(np.linspace(-1.5, 2.0, 4) + math.pi) + jitter(rng, 0.06)
    _draw_hand(canvas, head, palm=palm, fingertips=np.stack([u, v], axis=-1), skin=skin)


#: How to draw each occlusion of `tfds_builders.reading.features.OCCLUSIONS`.
OCCLUDERS = {
    "upper": draw_hat,
    "lower": draw_hand_over_mouth,
    "side": draw_hand_on_cheek,
    "glasses": draw_glasses,
}
