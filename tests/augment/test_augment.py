"""Augmentation: each part against NumPy, from draws that are chosen by hand."""

import dataclasses

import numpy as np
import pytest

from ran_tf.augment import faces as augment
from ran_tf.augment.draws import make_draw
from ran_tf.config import AugmentConfig

NOTHING = AugmentConfig(
    flip=False, rotate=0.0, scale=0.0, shift=0.0, erase=0.0, erase_max=0.4, light=0.0
)


def draws(batch=1, **chosen):
    """Draws in the middle (no change, no flip, no erasing) but for those chosen."""

    def draw(name):
        usual = 1.0 if name.endswith("chance") else 0.5
        return np.zeros(batch, np.float32) + np.float32(chosen.get(name.replace("/", "_"), usual))

    return draw


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)


def run(image, draw, *, boxes=None, follows=None, **changes):
    boxes = np.zeros((len(image), 1, 4), np.float32) if boxes is None else boxes
    config = dataclasses.replace(NOTHING, **changes)
    out = augment.augment(image, boxes, draw, config=config, follows=follows)
    return {name: np.asarray(value) for name, value in out.items()}


def test_nothing_changes_nothing(faces):
    image = run(faces, make_draw(np.arange(3)))["image"]
    np.testing.assert_allclose(image, faces, atol=1e-3)


def test_flip(faces):
    image = run(faces, draws(3, flip=[0.1, 0.9, 0.2]), flip=True)["image"]
    np.testing.assert_allclose(image[0], faces[0, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(image[1], faces[1], atol=1e-3)


def test_quarter_turn(faces):
    image = run(faces, draws(3, angle=1.0), rotate=90.0)["image"]
    turned = np.rot90(faces, axes=(1, 2))
    assert min(np.abs(image - turned).max(), np.abs(image - turned[:, ::-1, ::-1]).max()) < 0.05


def test_shift_repeats_the_edge(faces):
    """A shift of 2 of 16 pixels, to the left and up."""
    image = run(faces, draws(3, shift_x=1.0, shift_y=1.0), shift=0.125)["image"]
    rows = np.minimum(np.arange(16) + 2, 15)
    np.testing.assert_allclose(image, faces[:, rows][:, :, rows], atol=1e-3)


def test_light():
    image = np.zeros((1, 8, 8, 3), np.float32) + np.repeat([100.0, 140.0], 4)[:, None, None]
    out = run(image, draws(contrast=1.0, brightness=0.0), light=0.1)["image"]
    # mean 120: contrast 1.1 spreads to 98 and 142; brightness takes off 25.5
    np.testing.assert_allclose(out[0, ::4, 0, 0], [72.5, 116.5], atol=1e-3)


def test_an_occluder_and_nothing_else(faces):
    """The parts are held against an oracle in test_occlude; here: that they are put to use."""
    drawn = draws(
        3,
        occluder1_chance=[0.1, 0.9, 0.1],
        occluder1_height=1.0,
        occluder1_width=1.0,
        occluder1_y=0.25,
        occluder1_x=0.75,
        occluder1_angle=0.0,
        occluder1_shape=0.0,
        occluder1_fill=0.0,
        occluder1_colour=0.2,
    )
    image = run(faces, drawn, erase=0.5, erase_max=0.5)["image"]
    expected = faces.astype(np.float32)
    expected[[0, 2], :8, 8:] = 51.0
    np.testing.assert_allclose(image, expected, atol=1e-3)


def test_degraded_faces_only(faces):
    drawn = draws(3, degrade_chance=[0.1, 0.9, 0.9], degrade_blur=1.0, degrade_noise=0.0)
    image = run(faces, drawn, degrade=0.5)["image"]
    np.testing.assert_allclose(image[1:], faces[1:], atol=1e-3)
    assert image[0].std() < 0.7 * faces[0].std()


@pytest.mark.parametrize(("height", "width"), [(65, 65), (49, 81)])
def test_landmark_boxes_follow_the_face(height, width):
    """A bright dot stays in the middle of its box, whatever the geometry."""
    rng = np.random.default_rng(0)
    batch, size = 24, np.array([height, width])
    place = (size * rng.uniform(0.37, 0.63, (batch, 2))).astype(int)
    image = np.zeros((batch, height, width, 1), np.float32)
    for i, (y, x) in enumerate(place):
        image[i, y - 1 : y + 2, x - 1 : x + 2] = 255.0
    centre = (place + 0.5) / size
    box = np.concatenate([centre - 0.1, centre + 0.1], axis=-1)[:, None].astype(np.float32)
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (batch, 1, 1))
    out = run(
        image,
        make_draw(np.arange(batch)),
        boxes=np.concatenate([whole, box], axis=1),
        follows=np.tile([False, True], (batch, 1)),
        flip=True,
        rotate=30.0,
        scale=0.2,
        shift=0.1,
    )
    np.testing.assert_array_equal(out["boxes"][:, 0], whole[:, 0])
    rows, columns = ((np.arange(side) + 0.5) / side for side in (height, width))
    weight = out["image"][..., 0]
    total = weight.sum((1, 2))
    found = np.stack(
        [(weight.sum(2) * rows).sum(1) / total, (weight.sum(1) * columns).sum(1) / total], 1
    )
    middle = (out["boxes"][:, 1, :2] + out["boxes"][:, 1, 2:]) / 2
    np.testing.assert_allclose(middle, found, atol=0.01)


def test_contrast_is_about_a_faces_own_mean():
    image = np.repeat([40.0, 200.0], 64).reshape(2, 8, 8, 1).astype(np.float32)
    out = run(image, draws(2, contrast=1.0), light=0.5)["image"]
    np.testing.assert_allclose(out, image, atol=1e-3)


@pytest.mark.parametrize(("brightness", "expected"), [(0.0, [0, 189]), (1.0, [61, 255])])
def test_light_stays_in_the_range_of_pixels(brightness, expected):
    image = np.zeros((1, 8, 8, 3), np.float32) + np.repeat([10.0, 240.0], 4)[:, None, None]
    out = run(image, draws(brightness=brightness), light=0.2)["image"]
    np.testing.assert_allclose(out[0, ::4, 0, 0], expected, atol=1e-3)
