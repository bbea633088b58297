"""How much of a face is covered, read from the weights that its regions get."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ran_tf.checks import check_range

# Weights below are as good as none: one that is 0 must not decide alone.
LEAST_WEIGHT = 1e-6


@dataclasses.dataclass(frozen=True)
class CoveredReadout:
    """A linear function of the logarithms of a network's region weights.

    Attributes:
      bias, slopes: the covered share is `bias + sum(slopes * log(weights))`, cut to 0..1. There is
        one slope for each region.
      auc: how often a face of which more than a fifth is covered has a larger share than a face of
        which nothing is. It was measured on drawn occluders of kinds that training never shows.
        0.5 is chance.
    """

    bias: float
    slopes: tuple[float, ...]
    auc: float

    def __post_init__(self):
        check_range("card.covered.bias", self.bias, low=-1e3, high=1e3)
        for slope in self.slopes:
            check_range("card.covered.slopes", slope, low=-1e3, high=1e3)
        check_range("card.covered.auc", self.auc, low=0.0, high=1.0)

    def share(self, weights: Sequence[float] | np.ndarray) -> np.ndarray:
        """Region weights f32[..., k] to covered shares of the face f32[...] in 0..1."""
        share = self.bias + log_weights(weights) @ np.asarray(self.slopes)
        return share.clip(0.0, 1.0).astype(np.float32)


def log_weights(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """The logarithms f64[..., k] of region weights, none of them below `LEAST_WEIGHT`."""
    return np.log(np.maximum(np.asarray(weights, np.float64), LEAST_WEIGHT))
