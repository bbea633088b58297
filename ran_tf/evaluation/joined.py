"""What several workers say of the faces that they shared out, as one pass would have said it."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ran_tf.evaluation.predictions import Predictions
from ran_tf.training import workers


def join(
    strategy: tf.distribute.Strategy, own: Predictions, *, faces: int | None, batch_size: int
) -> Predictions:
    """The predictions of all workers, on every worker, in the order of the split.

    Args:
      strategy: of the workers.
      own: of the worker's share of every batch, see `data.share.Share`.
      faces: of the whole split; None for those of one worker alone, which nobody counted.
      batch_size: over all workers.
    """
    count = workers.count(strategy)
    if count == 1:
        return own
    columns = {
        field.name: getattr(own, field.name)
        for field in dataclasses.fields(own)
        if getattr(own, field.name) is not None
    }
    columns["id"] = _to_codes(own.id, width=_common_width(strategy, own.id))
    # Float64 holds all of it exactly, so that one message does for all.
    flat = [values.reshape(len(values), -1).astype(np.float64) for values in columns.values()]
    rows = workers.gather(strategy, np.concatenate(flat, axis=1))
    if len(rows) != faces:
        raise RuntimeError(
            f"all workers together must see every face once: {faces}. Received: {len(rows)}"
        )
    # Where each row belongs: worker after worker, each has its own in the order of the split.
    place = np.arange(len(rows))
    order = np.concatenate([place[place % batch_size % count == w] for w in range(count)])
    parts = np.split(rows[np.argsort(order)], np.cumsum([f.shape[1] for f in flat])[:-1], axis=1)
    joined: dict[str, Any] = {
        name: part.reshape(-1, *values.shape[1:]).astype(values.dtype)
        for (name, values), part in zip(columns.items(), parts, strict=True)
    }
    return Predictions(**{"mu": None, **joined, "id": _to_text(joined["id"])})


def _common_width(strategy, ids: np.ndarray) -> int:
    """Bytes of the longest id of any worker."""
    width = np.char.encode(ids, "utf-8").dtype.itemsize
    return int(workers.gather(strategy, np.array([width])).max())


def _to_codes(ids: np.ndarray, *, width: int) -> np.ndarray:
    """str[b] -> u8[b, width], UTF-8: collective operations know numbers only."""
    encoded = np.char.encode(ids, "utf-8").astype(f"S{width}")
    return encoded.view(np.uint8).reshape(len(ids), width)


def _to_text(codes: np.ndarray) -> np.ndarray:
    """The opposite of `_to_codes`."""
    encoded = np.ascontiguousarray(codes).view(f"S{codes.shape[1]}")[:, 0]
    return np.char.decode(encoded, "utf-8")
