"""What a model says about a face."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about one face.

    Attributes:
      label: the most probable class.
      probabilities: f32[n], in the order of `Predictor.labels`.
      weights: f32[k], how much each region counted; they sum to 1.
      boxes: f32[k, 4], the regions: `y0, x0, y1, x1` in 0..1, region 0 the whole face.
    """

    label: str
    probabilities: np.ndarray
    weights: np.ndarray
    boxes: np.ndarray

    @property
    def probability(self) -> float:
        """Of `label`."""
        return float(self.probabilities.max())
