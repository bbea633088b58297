"""The order in which faces are read, a function of numbers alone: the same however they are kept.

Faces of a prepared dataset are in files. A split expression names pieces of them, which are read
in turns as TFDS does; training then draws from that order.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

# TFDS' own, so that orders are the same as there: files read in turns, records of each in a row.
FILES_IN_TURNS, RECORDS_IN_A_ROW = 16, 16

# Of the random regions that an evaluation looks at: no run draws them in training.
EVALUATION_SEED = 2**31


def in_turns(lengths: Sequence[int]) -> np.ndarray:
    """Where pieces that are read in turns come to lie: i64[n] of places, pieces one after another.

    That is `tf.data`'s interleave: `FILES_IN_TURNS` pieces are open, each gives
    `RECORDS_IN_A_ROW` at a time, and the next piece takes the slot of one that has ended.
    """
    starts = np.cumsum([0, *lengths])
    waiting = list(range(len(lengths)))
    slots: list[tuple[int, int] | None] = [None] * FILES_IN_TURNS
    found, slot = [], 0
    while waiting or any(piece is not None for piece in slots):
        if slots[slot] is None and waiting:
            slots[slot] = (starts[waiting[0]], starts[waiting.pop(0) + 1])
        if (piece := slots[slot]) is not None:
            first, end = piece
            last = min(first + RECORDS_IN_A_ROW, end)
            found.append(np.arange(first, last))
            # A piece that ends with its turn is found to have ended in the next.
            ended = last - first < RECORDS_IN_A_ROW
            slots[slot] = None if ended else (last, end)
        slot = (slot + 1) % FILES_IN_TURNS
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def of_epoch(labels: np.ndarray, *, balanced: bool, seed: int, epoch: int) -> np.ndarray:
    """Numbers of the faces of an epoch of training, i64[n].

    Args:
      labels: i64[n], class of each face.
      balanced: draw each class equally often.
      seed: of the run.
      epoch: from 0.
    """
    size = len(labels)
    rng = np.random.default_rng([seed, epoch])
    if not balanced:
        return rng.permutation(size)
    classes = rng.choice(np.unique(labels), size=size)
    order = np.empty(size, np.int64)
    for c in np.unique(classes):
        places, faces = np.flatnonzero(classes == c), np.flatnonzero(labels == c)
        # Each face of the class once before any comes again.
        rounds = -(-len(places) // len(faces))
        drawn = np.concatenate([rng.permutation(faces) for _ in range(rounds)])
        order[places] = drawn[: len(places)]
    return order


def fingerprint(marks: np.ndarray) -> str:
    """Hexadecimal digits that are others where any mark i64[n] is, or their order."""
    return hashlib.sha256(marks.astype("<i8").tobytes()).hexdigest()[:16]
