"""Re-inflation of folded batch normalisations: statistics of the images, and the same function."""

import keras
import numpy as np
import pytest

from ran_tf.weights.convert import convert
from ran_tf.weights.reinflate import reinflate_batch_norm
from tests.fixtures.faceres_files import (
    SIZE,
    assert_same_features,
    made_up_tensors,
    relative_error,
    smooth_images,
    write_tfjs,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("faceres") / "faceres.json"
    return write_tfjs(path, made_up_tensors(np.random.default_rng(0)))


def test_statistics_are_those_of_the_images():
    """Against NumPy's moments, from a BN that already had statistics, with an uneven last batch."""
    rng = np.random.default_rng(3)
    layer = keras.layers.BatchNormalization(epsilon=1e-2)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(2.0, 1.0), layer])
    layer.set_weights([rng.uniform(0.5, 2, 3) for _ in range(4)])
    images = rng.uniform(0, 255, (7, 4, 4, 3)).astype("float32")
    before = model(images, training=False)

    reinflate_batch_norm(model, images, batch_size=3)

    inputs = 2.0 * images.astype("float64") + 1.0
    np.testing.assert_allclose(layer.moving_mean, inputs.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, inputs.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(model(images, training=False), before, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(model(images, training=True), before, rtol=1e-3, atol=1e-2)


def test_reinflated_model_stays_the_same_and_can_be_trained(source):
    rng = np.random.default_rng(4)
    images, others = (smooth_images(rng, 160).astype("float32") for _ in range(2))
    model = convert(source=source, format="faceres_tfjs", size=SIZE).model
    before, before_others = model(images, training=False), model(others, training=False)
    state = model.get_weights()
    folded_in_training = relative_error(model(others, training=True), before_others)
    model.set_weights(state)  # a training pass moves the statistics

    reinflate_batch_norm(model, images)

    assert_same_features(model(images, training=False), np.asarray(before))
    assert_same_features(model(others, training=False), np.asarray(before_others))
    state = model.get_weights()
    # On the images that were measured, batch and stored statistics are equal.
    assert relative_error(model(images, training=True), before) < 1e-3
    model.set_weights(state)
    assert relative_error(model(others, training=True), before_others) < 0.2
    assert folded_in_training > 1.0  # what this is for
