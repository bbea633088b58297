"""Occluders and degradations against pixel-by-pixel NumPy, eagerly and inside tf.data."""

import math

import cv2
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.augment import occlude

SIDE = 24
OCCLUDER_DRAWS = ("chance", "height", "width", "y", "x", "angle", "shape", "fill", "colour")
DEGRADE_DRAWS = ("chance", "blur", "noise", "texture")


@pytest.fixture
def faces():
    return np.random.default_rng(0).uniform(0, 255, (16, SIDE, SIDE, 3)).astype(np.float32)


def random_draws(names, *, faces: int, seed: int):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(size=faces).astype(np.float32) for name in names}


def noise_at(seed, y, x, *, cell):
    """The hash in Python's unbounded integers, cut to 32 bits with sign."""

    def signed(value):
        return (value + 2**31) % 2**32 - 2**31

    mixed = signed(int(seed * np.float32(65536)) * 40503 + y // cell * 668265263)
    mixed = signed(mixed + x // cell * 374761393)
    for shift, factor in ((13, 1274126177), (15, 1103515245)):
        mixed = signed((mixed ^ (mixed >> shift)) * factor)
    return ((mixed >> 12) & 0xFFFF) / 65536


def occluded_by_hand(image, draw, *, chance, largest):
    """One face, pixel by pixel, and which pixels are so near an edge that rounding decides."""
    out, doubtful = image.copy(), np.zeros(image.shape[:2], bool)
    if draw["chance"] >= chance:
        return out, doubtful
    a, b = (0.1 + draw[side] * (largest - 0.1) for side in ("width", "height"))
    angle = draw["angle"] * math.pi
    for row in range(SIDE):
        for column in range(SIDE):
            y, x = (row + 0.5) / SIDE - draw["y"], (column + 0.5) / SIDE - draw["x"]
            u = abs(math.cos(angle) * x + math.sin(angle) * y) / (a / 2)
            v = abs(math.cos(angle) * y - math.sin(angle) * x) / (b / 2)
            distance = max(u, v) if draw["shape"] < 0.5 else math.hypot(u, v)
            doubtful[row, column] = abs(distance - 1) < 1e-4
            if distance >= 1:
                continue
            if draw["fill"] < 0.4:
                out[row, column] = 255 * draw["colour"]
            elif draw["fill"] < 0.7:
                out[row, column] = 255 * noise_at(draw["colour"], row, column, cell=occlude._CELL)
            else:
                out[row, column] = image[SIDE - 1 - row, column]
    return out, doubtful


@pytest.mark.parametrize("seed", range(3))
def test_occluders_pixel_by_pixel(faces, seed):
    draw = random_draws(OCCLUDER_DRAWS, faces=len(faces), seed=seed)
    done = occlude.occlude(faces, draw.__getitem__, chance=0.8, largest=0.7)
    out = np.asarray(done["image"])
    covered = 0
    for i, face in enumerate(faces):
        one = {name: values[i] for name, values in draw.items()}
        expected, doubtful = occluded_by_hand(face, one, chance=0.8, largest=0.7)
        np.testing.assert_allclose(out[i][~doubtful], expected[~doubtful], atol=1e-2)
        covered += (expected != face).any()
    assert 8 <= covered < len(faces)


def test_blur_is_opencv_blur(faces):
    draw = {name: np.zeros(len(faces), np.float32) for name in DEGRADE_DRAWS}
    draw["blur"] += 1.0
    out = np.asarray(occlude.degrade(faces, draw.__getitem__, chance=0.5))
    kernel = np.array([1, 8, 28, 56, 70, 56, 28, 8, 1]) / 256
    for face, blurred in zip(faces, out, strict=True):
        expected = cv2.sepFilter2D(face, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(blurred, expected, atol=1e-2)


def test_noise_is_bounded_and_chance_is_heeded(faces):
    draw = {name: np.zeros(len(faces), np.float32) for name in DEGRADE_DRAWS}
    draw["noise"] += 1.0
    draw["texture"] += 0.3
    draw["chance"][::2] = 0.9
    out = np.asarray(occlude.degrade(faces, draw.__getitem__, chance=0.5))
    np.testing.assert_array_equal(out[::2], faces[::2])
    change = np.abs(out - faces)[1::2]
    assert 20 < change.mean() < 30
    assert change.max() <= occlude._NOISE
    assert out.min() >= 0
    assert out.max() <= 255


def test_hash_noise_is_spread_over_the_range():
    noise = np.asarray(occlude.hash_noise(np.linspace(0, 1, 64), height=48, width=48, cell=1))
    counts, _ = np.histogram(noise, bins=10, range=(0, 1))
    assert counts.min() > 0.09 * noise.size
    assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.1


def test_the_same_inside_tf_data(faces):
    draw = random_draws(OCCLUDER_DRAWS, faces=len(faces), seed=5)
    eager = occlude.occlude(faces, draw.__getitem__, chance=0.8, largest=0.6)
    data = tf.data.Dataset.from_tensors((faces, draw))
    (out,) = data.map(
        lambda image, d: occlude.occlude(image, d.__getitem__, chance=0.8, largest=0.6)
    )
    for name in ("image", "opacity"):
        np.testing.assert_allclose(out[name], eager[name], atol=1e-2)


def test_half_of_the_largest_noise_draw_is_a_quarter_of_the_noise():
    flat = np.full((1, 24, 24, 3), 128.0, np.float32)
    draw = {name: np.zeros(1, np.float32) for name in DEGRADE_DRAWS}
    weak, strong = (
        np.asarray(
            occlude.degrade(flat, {**draw, "noise": np.float32([noise])}.__getitem__, chance=1.0)
        )
        for noise in (0.5, 1.0)
    )
    np.testing.assert_allclose(weak - flat, (strong - flat) / 4, atol=1e-3)
