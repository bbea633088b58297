"""Flaws of photos: what each does, and that no face without one changes."""

import cv2
import numpy as np
import pytest

from ran_tf.augment import flaws

NAMES = ("JPEG", "few pixels", "fog", "little light", "much light", "movement", "noise")


@pytest.fixture(scope="module")
def photo():
    """A smooth face with an edge: f32[h, w, 3], no multiple of 8 a side."""
    rng = np.random.default_rng(0)
    face = cv2.resize(rng.uniform(40, 220, (6, 6)).astype(np.float32), (44, 50))
    face[20:30, 10:34] = 30
    return np.repeat(face[..., None], 3, axis=-1)


def spoil(photo, flaw: str, strength, **draws):
    index = (NAMES.index(flaw) + 0.5) / len(NAMES)
    count = len(strength)
    draw = {"chance": 0.0, "flaw": index, "x": 0.3, "y": 0.6, **draws}
    draw = {name: np.full(count, value, np.float32) for name, value in draw.items()}
    draw["strength"] = np.float32(strength)
    image = np.repeat(photo[None], count, axis=0)
    return np.asarray(flaws.spoil(image, draw.__getitem__, chance=0.5))


@pytest.mark.parametrize("flaw", NAMES)
def test_flaws_grow_and_stay_in_range(photo, flaw):
    weak, strong = spoil(photo, flaw, [0.05, 1.0])
    change = [np.abs(face - photo).mean() for face in (weak, strong)]
    assert 0.5 < change[0] < change[1]
    for face in (weak, strong):
        assert face.shape == photo.shape and face.min() >= 0 and face.max() <= 255
        np.testing.assert_allclose(np.ptp(face, axis=-1), 0, atol=1e-3)  # grey stays grey
    np.testing.assert_array_equal(spoil(photo, flaw, [1.0], chance=0.6)[0], photo)


def test_jpeg_is_as_an_encoder_makes_it(photo):
    """Of grey faces, to within the rounding of pixels and tables; whole squares alone."""
    face = np.round(photo[:48, :40])
    (ours,) = spoil(face, "JPEG", [1.0])
    encoded = cv2.imencode(".jpg", face[..., 0], [cv2.IMWRITE_JPEG_QUALITY, 4])[1]
    theirs = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    assert np.abs(ours[..., 0] - theirs).mean() < 2.0 < 0.5 * np.abs(face[..., 0] - theirs).mean()


def test_few_pixels_are_means_over_areas_enlarged(photo):
    (ours,) = spoil(photo, "few pixels", [1.0])
    small = cv2.resize(photo, (10, 10), interpolation=cv2.INTER_AREA)
    want = cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(ours, want, atol=0.05)


def test_a_movement_to_the_right_leaves_rows_alone():
    rows = np.repeat(np.linspace(0, 255, 32, dtype=np.float32)[:, None, None], 32, axis=1)
    rows = np.repeat(rows, 3, axis=-1)
    (along,) = spoil(rows, "movement", [1.0], x=0.0)
    (across,) = spoil(rows, "movement", [1.0], x=0.5)
    np.testing.assert_allclose(along, rows, atol=1e-3)
    assert np.abs(across - rows)[:3].mean() > 2
