"""Pooling to a grid of fixed size, whatever the size of the map."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("ran_tf")
class GridPool(keras.layers.Layer):
    """Means over a grid of `side` x `side` cells, [b, h, w, c] -> [b, side, side, c].

    Cell i of n pixels covers floor(i n / side) to ceil((i + 1) n / side), as PyTorch's
    AdaptiveAvgPool2d does; cells overlap where n is no multiple of `side`, and repeat pixels where
    n is smaller. Not `keras.layers.AdaptiveAveragePooling2D`, whose TensorFlow graph cannot be
    built for maps of one pixel (Keras 3.15).

    Args:
      side: of the grid, cells.
    """

    def __init__(self, side: int, **kwargs):
        super().__init__(**kwargs)
        self.side = side

    def call(self, features):
        rows, columns = (
            ops.convert_to_tensor(_means(n, self.side), dtype=features.dtype)
            for n in features.shape[1:3]
        )
        return ops.einsum("ih,bhwc,jw->bijc", rows, features, columns)

    def compute_output_shape(self, features_shape):
        return (features_shape[0], self.side, self.side, features_shape[-1])

    def get_config(self):
        return {**super().get_config(), "side": self.side}


def _means(n: int, side: int) -> np.ndarray:
    """f32[side, n]: row i averages the pixels of cell i."""
    cell, pixel = np.arange(side)[:, None], np.arange(n)
    inside = (pixel >= cell * n // side) & (pixel < -(-(cell + 1) * n // side))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
