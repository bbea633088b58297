"""Regions are named as a person would."""

import numpy as np
import pytest

from ran_tf.regions import words


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 1, 1), "whole face"),
        ((0, 0, 0.75, 0.75), "top left 75%"),
        ((0, 0.25, 0.75, 1), "top right 75%"),
        ((0.25, 0.125, 1, 0.875), "bottom 75%"),
        ((0.05, 0.05, 0.95, 0.95), "centre 90%"),
    ],
)
def test_regions_in_words(box, expected):
    assert words.describe_region(np.array(box, np.float32)) == expected
