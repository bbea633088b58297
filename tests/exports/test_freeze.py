"""Frozen functions say what the functions with variables say, without batch normalisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.exports import freeze
from ran_tf.models.norm import BatchNorm
from tests.exports.test_export import make_card, random_faces


@pytest.mark.parametrize(
    ("backbone", "norms"),
    [
        ("tiny", 2),
        pytest.param("mobilenet_v1", 27, marks=pytest.mark.large),
        pytest.param("resnet18", 20, marks=pytest.mark.large),
        pytest.param("EfficientNetV2B0", None, marks=pytest.mark.large),
    ],
)
def test_batch_norm_is_folded_and_weights_are_constants(backbone, norms):
    """The plain graph normalises, the exported one does not; both say the same."""
    keras.utils.set_random_seed(0)
    arguments = {**make_card().model, "backbone": backbone}
    model = ran_tf.RegionAttentionNetwork(**arguments)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            weight.assign(draw.uniform(0.5, 1.5, tuple(weight.shape)))
    faces = random_faces(2, 32, 32)
    boxes = np.repeat(ran_tf.fixed_boxes(6)[None], 2, axis=0)

    spec = tf.TensorSpec([2, 32, 32, 3], tf.uint8)

    @tf.function(input_signature=[spec])
    def plain(images):
        return model({"image": images, "boxes": boxes}, training=False)

    frozen = freeze.freeze(plain.python_function, spec, variables=model.variables)
    assert not frozen.variables

    def count(function):
        return [n.op for n in function.graph.as_graph_def().node].count("FusedBatchNormV3")

    if norms is not None:
        assert (count(plain.get_concrete_function()), count(frozen)) == (norms, 0)
    got, want = frozen(tf.constant(faces)), plain(tf.constant(faces))
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-4, err_msg=name)


def test_a_convolution_that_others_read_is_not_folded():
    norm = BatchNorm()
    norm.build((None, 4, 4, 3))
    norm.gamma.assign([2.0, 3.0, 4.0])
    kernel = keras.Variable(tf.random.stateless_normal([3, 3, 3, 3], seed=[0, 0]))

    def twice(x):
        values = tf.nn.conv2d(x, kernel, 1, "SAME")
        return {"sum": norm(values, training=False) + values}

    x = tf.random.stateless_normal([2, 4, 4, 3], seed=[1, 0])
    frozen = freeze.freeze(twice, tf.TensorSpec([2, 4, 4, 3]), variables=[kernel, *norm.variables])
    np.testing.assert_allclose(frozen(x)["sum"], twice(x)["sum"], atol=1e-5)
