"""Views of photos, and photos turned and mirrored: what is there is where they say."""

import cv2
import numpy as np
import pytest

from ran_tf.faces import Face, views
from ran_tf.faces.face import from_mirrored, from_turned


def bright_dot(photo):
    """x,y of the middle of what is bright."""
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    weights = photo[..., 0].astype(float)
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


@pytest.mark.parametrize("side", [40.0, 130.0, 700.0])
@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2, -2.5])
def test_a_dot_of_the_photo_is_where_the_view_says(side, angle):
    photo = np.zeros((300, 420, 3), np.uint8)
    dot, centre = np.array([190.0, 140.0]), np.array([183.2, 145.7])
    cv2.circle(photo, dot.astype(int).tolist(), 6, (255, 255, 255), -1)
    place = views.Place(centre=centre, side=side, angle=angle)
    view = views.cut(photo, place, size=128)
    assert view.shape == (128, 128, 3)
    (found,) = views.restore(bright_dot(view)[None], place, size=128)
    # Within a third of a pixel of the view.
    np.testing.assert_allclose(found, dot, atol=max(0.1, 0.3 * side / 128))


def test_outside_of_the_photo_its_border_goes_on():
    photo = np.full((20, 30, 3), 200, np.uint8)
    for centre in ([0, 0], [29, 19], [-90, 50]):
        view = views.cut(photo, views.Place(np.array(centre, float), side=80.0), size=32)
        assert (view == 200).all()


POINTS = np.float32([[10, 12], [20, 13], [15, 18], [11, 24], [19, 25]])
FACE = Face(box=np.float32([8, 6, 28, 24]), score=0.9, landmarks=POINTS)


@pytest.mark.parametrize("quarters", range(4))
def test_a_face_of_a_turned_photo_is_that_of_the_photo(quarters):
    height, width = 40, 60
    marks = np.zeros((height, width, 3), np.uint8)
    marks[8:29, 6:25] = 1
    for i, (x, y) in enumerate(POINTS.astype(int)):
        marks[y, x] = 10 + i
    turned = np.rot90(marks, quarters)
    y, x = np.nonzero(turned[..., 0])
    there = np.float32([y.min(), x.min(), y.max(), x.max()])
    points = np.float32([np.argwhere(turned[..., 0] == 10 + i)[0][::-1] for i in range(5)])
    face = Face(box=there, score=0.9, landmarks=points)
    back = from_turned(face, quarters=quarters, shape=marks.shape)
    np.testing.assert_array_equal(back.box, FACE.box)
    np.testing.assert_array_equal(back.landmarks, FACE.landmarks)
    twice = from_mirrored(from_mirrored(FACE, width=width), width=width)
    np.testing.assert_array_equal(twice.box, FACE.box)
    np.testing.assert_array_equal(twice.landmarks, FACE.landmarks)
