"""What others say of training faces, beside their labels."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Lesson:
    """Answers to every face of the training split.

    Attributes:
      answers: f32[n, classes], faces in the order of the split; rows sum to 1.
      share: of the targets that the answers become, in 0..1.
    """

    answers: np.ndarray
    share: float

    def mixed(self, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Targets f32[b, classes] of the faces `numbers`, i64[b], whose own are `labels`."""
        told = self.answers[numbers]
        return ((1.0 - self.share) * labels + self.share * told).astype(np.float32)
