"""What rounding the weights of a network does to its answers."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from ran_tf.evaluation import classifier, predictions

# More than this is no rounding: weights out of range, or another network.
_MOST_CHANGED = 0.005
_MEAN_DIFFERENCE = 2e-3


@dataclasses.dataclass(frozen=True)
class Rounding:
    """How two versions of a network differ on the same faces.

    Attributes:
      count: faces.
      changed: faces whose class differs.
      mean_difference: mean absolute difference of a probability.
      correct: faces that the rounded network is right on.
    """

    count: int
    changed: int
    mean_difference: float
    correct: int


def compare(
    exact: classifier.Classifier, rounded: classifier.Classifier, *, batches: Iterable[dict]
) -> Rounding:
    """Runs both over evaluation batches.

    Raises:
      ValueError: if they differ by more than rounding can explain.
    """
    before, after = (predictions.collect(one, batches) for one in (exact, rounded))
    result = Rounding(
        count=len(before.id),
        changed=int((before.predicted != after.predicted).sum()),
        mean_difference=float(np.abs(before.probabilities - after.probabilities).mean()),
        correct=int((after.predicted == after.label).sum()),
    )
    # One face more: a share of few faces would allow none.
    most = 1 + _MOST_CHANGED * result.count
    if result.changed > most or not result.mean_difference <= _MEAN_DIFFERENCE:
        raise ValueError(
            f"float16 must change the class of at most {most:.0f} faces and probabilities by at "
            f"most {_MEAN_DIFFERENCE} on average; nothing was written. Received: {result}"
        )
    return result
