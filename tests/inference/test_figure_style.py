"""The look of figures: the same under any settings, and its colours told apart by everybody."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.figure import Figure
from skimage import color

from ran_tf import vocabulary
from ran_tf.inference import figure_style, timeline

# Machado, Oliveira and Fernandes 2009, full severity, of linear RGB.
_DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def test_a_figure_has_this_look_whatever_the_users_settings():
    with matplotlib.rc_context({"figure.dpi": 50, "axes.spines.top": True}):
        figure = figure_style.styled(lambda: Figure())()
        assert figure.dpi == 200
        assert matplotlib.rcParams["figure.dpi"] == 50


@pytest.mark.parametrize("deficiency", _DEFICIENCIES)
def test_colours_are_told_apart(deficiency):
    drawn = timeline.colours_of(vocabulary.LABELS["ferplus"])
    assert len(set(drawn)) == 8
    for group in ((figure_style.FIRST, figure_style.SECOND), drawn):
        rgb = np.array([colors.to_rgb(name) for name in group])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        seen = np.clip(linear @ np.transpose(_DEFICIENCIES[deficiency]), 0, 1)
        seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = color.rgb2lab(seen)
        for i, j in itertools.combinations(range(len(group)), 2):
            assert color.deltaE_ciede2000(lab[i], lab[j]) > 10, (group[i], group[j])
