"""The fused batch norm against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.models.norm import BatchNorm


@pytest.mark.parametrize("training", [True, False])
def test_fused_equals_keras(training):
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (6, 5, 4, 7)).astype(np.float32)
    fused = BatchNorm(momentum=0.8, epsilon=1e-3)
    plain = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3)
    for layer in (fused, plain):
        layer.build(x.shape)
    weights = [rng.uniform(0.5, 2.0, w.shape) for w in fused.weights]
    gradients = []
    for layer in (fused, plain):
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            source = tf.constant(x)
            tape.watch(source)
            out = layer(source, training=training)
            loss = tf.reduce_sum(tf.sin(out))
        gradients.append((out, tape.gradient(loss, source)))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for a, b in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=a.path)


def test_statistics_stay_float32_under_bfloat16():
    layer = BatchNorm(dtype="mixed_bfloat16")
    out = layer(np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32"), training=True)
    assert out.dtype == tf.bfloat16
    assert {w.dtype for w in layer.weights} == {"float32"}


def test_a_frozen_layer_does_not_move():
    layer = BatchNorm()
    x = np.random.default_rng(0).normal(5.0, size=(2, 3, 3, 4)).astype("float32")
    layer.build(x.shape)
    layer.trainable = False
    layer(x, training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))
