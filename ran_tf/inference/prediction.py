"""What comes of an image: a prediction, several faces with theirs, or a failure."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about one face.

    Attributes:
      label: the most probable class.
      probabilities: f32[n], in the order of `Predictor.labels`.
      weights: f32[k], the share of each region in the answer; they sum to 1.
      boxes: f32[k, 4], the regions: `y0, x0, y1, x1` in 0..1, region 0 the whole face.
      covered: how much of the face is covered, 0..1, as the region weights tell it; None of a
        network that does not look away from covers (docs/looks_away.md says how far to trust it).

    Example:
      >>> prediction = ran_tf.Prediction(
      ...     label="fear",
      ...     probabilities=np.float32([0.75, 0.25]),
      ...     weights=np.ones(1, np.float32),
      ...     boxes=ran_tf.fixed_boxes(1),
      ... )
      >>> prediction.probability
      0.75
    """

    label: str
    probabilities: np.ndarray
    weights: np.ndarray
    boxes: np.ndarray
    covered: float | None = None

    @property
    def probability(self) -> float:
        """Of `label`."""
        return float(self.probabilities.max())


@dataclasses.dataclass(frozen=True)
class Failure:
    """Takes the place of a prediction if an image cannot be used.

    Attributes:
      error: the reason, as text.

    Example:
      >>> ran_tf.Failure(error="not an image")
      Failure(error='not an image')
    """

    error: str


@dataclasses.dataclass(frozen=True, eq=False)
class FoundFace:
    """A face that was found in a photo, and what a model says about it.

    Attributes:
      prediction: the answer of the model for `image`.
      box: f32[4], y0, x0, y1, x1 in pixels of the photo.
      score: the detector's confidence, 0..1.
      image: u8[s, s, 3], the face, cut out of the photo and upright; `prediction.boxes` refer to
        it.
      landmarks: f32[5, 2], x, y in pixels of the photo: the eyes, the nose and the mouth's corners,
        from left to right.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> predictor.faces([np.zeros((96, 96, 3), np.uint8)])
      [[]]
    """

    prediction: Prediction
    box: np.ndarray
    score: float
    image: np.ndarray
    landmarks: np.ndarray
