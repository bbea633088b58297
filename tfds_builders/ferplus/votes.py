"""From the votes of ten annotators to a class and a distribution.

The protocol of the RAN lists: a class that a single annotator chose is dropped as noise; the face
has the class with more than half of the votes that remain (those for "unknown" and "no face" count
in that total), and is left out where no class has, or where that class is unknown or no face.
"""

from collections.abc import Sequence

import numpy as np

from ran_tf.vocabulary import LABELS

#: Columns of a vote row in `label.csv` and `fer2013new.csv`.
COLUMNS = (*LABELS["ferplus"], "unknown", "NF")


def without_single_votes(votes: Sequence[int]) -> np.ndarray:
    """Drops the classes that one annotator alone chose: i64[10] -> i64[10]."""
    votes = np.asarray(votes)
    return np.where(votes > 1, votes, 0)


def majority(votes: Sequence[int]) -> int | None:
    """Index of the face's emotion, or None where the protocol leaves the face out.

    Args:
        votes: i64[10], votes in the order of `COLUMNS`.
    """
    votes = without_single_votes(votes)
    winner = int(votes.argmax())
    if winner >= len(LABELS["ferplus"]) or 2 * votes[winner] <= votes.sum():
        return None
    return winner


def ambiguous(votes: Sequence[int]) -> bool:
    """Whether a face without a majority is one of emotions: at least half of all votes are.

    Args:
        votes: i64[10], votes in the order of `COLUMNS`.
    """
    emotions = sum(votes[: len(LABELS["ferplus"])])
    return majority(votes) is None and emotions > 0 and 2 * emotions >= sum(votes)


def strongest(votes: Sequence[int]) -> int:
    """Index of the emotion with the most votes, the first of several."""
    return int(np.argmax(votes[: len(LABELS["ferplus"])]))


def distribution(votes: Sequence[int]) -> np.ndarray:
    """Share of each emotion in the votes, f32[8] with sum 1; those for no emotion do not count.

    Nor do single votes where the face has a majority; an ambiguous face may have no others.

    Args:
        votes: i64[10], votes in the order of `COLUMNS`.
    """
    counted = np.asarray(votes) if ambiguous(votes) else without_single_votes(votes)
    emotions = counted[: len(LABELS["ferplus"])]
    return (emotions / emotions.sum()).astype(np.float32)
