"""The grid pooling of VGG-16 against means taken cell by cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.models.pool import GridPool


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (5, 4), (7, 7), (8, 10), (14, 21)])
def test_cells_are_means(shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    h, w = shape
    want = np.empty((2, 7, 7, 3))
    for i in range(7):
        for j in range(7):
            rows = slice(int(np.floor(i * h / 7)), int(np.ceil((i + 1) * h / 7)))
            columns = slice(int(np.floor(j * w / 7)), int(np.ceil((j + 1) * w / 7)))
            want[:, i, j] = x[:, rows, columns].astype(np.float64).mean(axis=(1, 2))
    layer = GridPool(7)
    # A graph as well, for it is there that the layer of Keras fails on one pixel.
    for call in (layer, tf.function(layer)):
        np.testing.assert_allclose(call(x), want, atol=1e-6)


def test_config_and_dtype():
    layer = GridPool(3, dtype="mixed_bfloat16")
    twin = GridPool.from_config(layer.get_config())
    image = keras.Input((5, 5, 2))
    assert twin(image).shape == (None, 3, 3, 2) and twin(image).dtype == "bfloat16"
    assert twin(np.ones((1, 5, 5, 2), np.float32)).dtype == tf.bfloat16
