"""Which face is taken: what is a face first, then the largest."""

import numpy as np
import pytest

from ran_tf.faces import Face, choose_face

# As they lie in an upright face of ten pixels.
POINTS = np.float32([[3, 4], [7, 4], [5, 6], [3.5, 8], [6.5, 8]])


def face(side, score, *, at=(0, 0), points=POINTS):
    y, x = at
    box = np.float32([y, x, y + side, x + side])
    return Face(box, score, points * side / 10 + np.float32([x, y]))


def test_the_largest_or_the_central_one():
    large, central = face(40, 0.99), face(10, 0.99, at=(45, 45))
    assert choose_face([central, large], shape=(101, 101, 3)) is large
    assert choose_face([large, central], shape=(101, 101, 3), rule="centre") is central
    with pytest.raises(ValueError, match="choose='first'"):
        choose_face([large], shape=(101, 101), rule="first")
    with pytest.raises(ValueError, match="at least one face"):
        choose_face([], shape=(101, 101))


@pytest.mark.parametrize("rule", ["largest", "centre"])
def test_a_glass_is_larger_and_in_the_middle_and_is_not_taken(rule):
    """MTCNN's scores and sizes in face-api's sample3.jpg: three people, a glass with a dress."""
    people = [face(275, 1.0, at=(0, 900)), face(271, 1.0), face(290, 0.98, at=(0, 400))]
    glass = face(299, 0.848, at=(550, 800))
    assert choose_face([*people, glass], shape=(1350, 1920), rule=rule) in people
    # Alone it is the best there is.
    assert choose_face([glass], shape=(1350, 1920), rule=rule) is glass


def test_points_that_lie_as_in_no_face_count_against_it():
    small = face(10, 0.96)
    flat = face(40, 0.99, points=POINTS * (1, 0.05))
    mixed = face(40, 0.99, points=POINTS[[3, 1, 2, 0, 4]])
    one_place = face(40, 0.99, points=POINTS * 0)
    for odd in (flat, mixed, one_place):
        assert choose_face([small, odd], shape=(50, 50)) is small


@pytest.mark.parametrize("degrees", [0, 45, 90, 180])
def test_a_face_that_lies_or_looks_aside_is_as_good(degrees):
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    aside = (POINTS - 5) * (0.45, 1)
    lying = face(40, 0.97, points=(aside @ matrix + 5).astype(np.float32))
    assert choose_face([face(10, 1.0), lying], shape=(50, 50)) is lying
