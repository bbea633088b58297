"""What a backbone does to pixels, against NumPy."""

import keras
import numpy as np
import tensorflow as tf

from ran_tf.models import backbones
from ran_tf.models.preprocess import Standardize

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)


def test_every_channel_has_its_own_mean_and_scale():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 3, 3)).astype("float32")
    layer = Standardize(mean=MEAN, std=STD)
    want = (pixels - np.array(MEAN)) / np.array(STD)
    (mapped,) = tf.data.Dataset.from_tensors(pixels).map(layer)
    for found in (layer(pixels), mapped):
        np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-5)


def test_pixels_keep_float32_under_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = Standardize(mean=(200.5,) * 3, std=(1.0,) * 3)
    finally:
        keras.config.set_dtype_policy(before)
    # bfloat16 has no 200.5.
    found = layer(np.full((1, 1, 1, 3), 201.0, "float32"))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, 0.5)


def test_vgg_faces_means_are_rgb():
    layer = backbones.build_backbone("vgg16", size=(32, 32)).get_layer("preprocess")
    assert layer.mean == (129.186, 104.762, 93.594) and layer.std == (1.0, 1.0, 1.0)
