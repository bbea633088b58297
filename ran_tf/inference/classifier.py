"""A model that runs on faces, whatever computes it."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ran_tf.weights.card import ModelCard


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model that runs on faces.

    Attributes:
      name: what a report calls it: where it is.
      card: what is needed to use it.
      predict: takes {"image" u8[b, H, W, 3], "boxes" f32[b, k, 4], "mask" bool[b, k]} and returns
        {"probabilities" f32[b, n], "weights" f32[b, k]} and, where the model tells,
        "mu" f32[b, k], as NumPy arrays. One that makes its own regions takes the images alone.
      engine: what computes it, "onnx" or "keras".
    """

    name: str
    card: ModelCard
    predict: Callable[[dict], dict[str, np.ndarray]]
    engine: str = "keras"


def mirror(batch: dict) -> dict:
    """Faces and boxes of a batch seen in a mirror: each region keeps its content and its place.

    Args:
      batch: {"image" u8[b, h, w, 3], "boxes" f32[b, k, 4] as y0, x0, y1, x1, ...}.
    """
    y0, x0, y1, x1 = np.moveaxis(batch["boxes"], -1, 0)
    boxes = np.stack([y0, 1 - x1, y1, 1 - x0], axis=-1)
    return {**batch, "image": batch["image"][:, :, ::-1], "boxes": boxes}
