"""Depthwise convolution and its gradients against sums in NumPy, in both precisions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.models.depthwise import DepthwiseConv2D

# (height, width), stride: odd and even sides pad differently.
SHAPES = [((6, 7), 1), ((6, 7), 2), ((5, 8), 3)]


def numpy_pass(x, kernel, upstream, stride):
    """outputs, gradient of the inputs and gradient of the kernel [3, 3, c], 'same' padding."""
    b, h, w, c = x.shape
    rows, columns = -(-h // stride), -(-w // stride)
    pads = [max((n - 1) * stride + 3 - side, 0) for n, side in ((rows, h), (columns, w))]
    top, left = (pad // 2 for pad in pads)
    padded = np.zeros((b, h + pads[0] + stride, w + pads[1] + stride, c))
    padded[:, top : top + h, left : left + w] = x
    outputs, to_padded, to_kernel = np.zeros((b, rows, columns, c)), np.zeros_like(padded), []
    for dy, dx in np.ndindex(3, 3):
        seen = np.s_[:, dy : dy + rows * stride : stride, dx : dx + columns * stride : stride]
        outputs += padded[seen] * kernel[dy, dx]
        to_padded[seen] += upstream * kernel[dy, dx]
        to_kernel.append((padded[seen] * upstream).sum(axis=(0, 1, 2)))
    return {
        "outputs": outputs,
        "to_inputs": to_padded[:, top : top + h, left : left + w],
        "to_kernel": np.reshape(to_kernel, (3, 3, c)),
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)])
@pytest.mark.parametrize(("size", "stride"), SHAPES)
def test_values_and_gradients(size, stride, dtype, rtol, training):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 4)).astype("float32")
    layer = DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, dtype=dtype)
    layer.build(x.shape)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        upstream = rng.normal(size=outputs.shape).astype("float32")
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
    to_inputs, to_kernel = tape.gradient(loss, [inputs, layer.kernel.value])
    want = numpy_pass(x, layer.kernel.numpy()[..., 0], upstream, stride)
    (mapped,) = tf.data.Dataset.from_tensors(x).map(lambda x: layer(x, training=training))
    found = {
        "outputs": [outputs, mapped],
        "to_inputs": [to_inputs],
        "to_kernel": [to_kernel[..., 0]],
    }
    assert outputs.dtype == layer.compute_dtype
    for name, values in found.items():
        for value in values:
            error = np.abs(tf.cast(value, tf.float32) - want[name]).max()
            assert error <= rtol * np.abs(want[name]).max(), name


def test_bfloat16_gradients_are_computed_in_float32():
    """TensorFlow's own bfloat16 operators are what the layer exists to avoid; forward it wants."""
    layer = DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, dtype="mixed_bfloat16")
    layer.build((None, 8, 8, 4))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.kernel.value)

    graph = step.get_concrete_function(tf.TensorSpec([2, 8, 8, 4], tf.bfloat16)).graph
    dtypes = {op.type: op.outputs[0].dtype.name for op in graph.get_operations() if op.outputs}
    assert dtypes["DepthwiseConv2dNative"] == "bfloat16"
    assert dtypes["DepthwiseConv2dNativeBackpropFilter"] == "float32"


def test_bias_and_activation_are_keras_own():
    arguments = {"strides": 2, "padding": "valid", "activation": "relu", "dtype": "mixed_bfloat16"}
    kinds = (keras.layers.DepthwiseConv2D, DepthwiseConv2D)
    theirs, ours = (kind(3, bias_initializer="random_normal", **arguments) for kind in kinds)
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    want = theirs(x, training=True)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    found = ours(x, training=True)
    np.testing.assert_array_equal(tf.cast(found, tf.float32), tf.cast(want, tf.float32))
    assert np.ptp(tf.cast(found, tf.float32)) > 0


def test_config_round_trip():
    layer = DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="conv_dw_2")
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is DepthwiseConv2D and copy.get_config() == layer.get_config()


def test_weights_files_of_keras_own_layer_load(tmp_path):
    """They name layers by their class."""
    theirs, ours = (
        keras.Sequential([keras.layers.Input((8, 8, 4)), kind(3), kind(3, strides=2)])
        for kind in (keras.layers.DepthwiseConv2D, DepthwiseConv2D)
    )
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
