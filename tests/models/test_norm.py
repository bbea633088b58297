"""The fused batch norm against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.models import losses
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


def test_outside_a_replica_each_device_keeps_the_same_statistics(two_replicas):
    """In a strategy's scope alone there is no replica to ask others from."""
    x = np.random.default_rng(0).normal(2.0, 3.0, (5, 4, 4, 3)).astype("float32")
    with two_replicas.scope():
        layer = BatchNorm(momentum=0.0)
        layer(x, training=True)
    for value in layer.moving_mean.value.values:
        np.testing.assert_allclose(value, x.mean(axis=(0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_two_replicas_normalise_as_one_device(two_replicas, dtype):
    """Outputs, statistics and every gradient, of shares of 4 and of 2 faces."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (6, 5, 4, 7)).astype(np.float32)
    pull = rng.normal(size=x.shape).astype(np.float32)
    weights = [rng.uniform(0.5, 2.0, 7) for _ in range(4)]
    one = BatchNorm(momentum=0.8, epsilon=1e-3, dtype=dtype)
    with two_replicas.scope():
        two = BatchNorm(momentum=0.8, epsilon=1e-3, synchronized=True, dtype=dtype)
        two.build(x.shape)
    one.build(x.shape)
    for layer in (one, two):
        layer.set_weights(weights)

    def run(layer, source, pull):
        with tf.GradientTape() as tape:
            tape.watch(source)
            out = layer(source, training=True)
            loss = tf.reduce_sum(tf.cast(out, tf.float32) * pull + tf.sin(tf.cast(out, tf.float32)))
        gradients = tape.gradient(loss, [source, layer.gamma.value, layer.beta.value])
        return (out, *gradients)

    want = run(one, tf.constant(x), pull)
    shares = [slice(0, 4), slice(4, 6)]

    @tf.function
    def step():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            source, own = (
                tf.cond(number == 0, lambda v=v: v[shares[0]], lambda v=v: v[shares[1]])
                for v in (x, pull)
            )
            return run(two, source, own)

        return two_replicas.run(replica)

    found = [two_replicas.experimental_local_results(value) for value in step()]
    tolerance = {"float32": 1e-4, "mixed_bfloat16": 6e-2}[dtype]
    for name, a, b in zip(("outputs", "inputs"), found, want, strict=False):
        a = tf.cast(tf.concat(a, axis=0), tf.float32)
        np.testing.assert_allclose(a, tf.cast(b, tf.float32), atol=tolerance, err_msg=name)
    for name, a, b in zip(("gamma", "beta"), found[2:], want[2:], strict=True):
        np.testing.assert_allclose(a[0] + a[1], b, rtol=tolerance, atol=tolerance, err_msg=name)
    for a, b in zip(two.weights, one.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=a.path)


def _gradient(network, batch):
    """Of the mean over all faces, flat; the sum over replicas in a replica."""
    with tf.GradientTape() as tape:
        logits = network({"image": batch["image"], "boxes": batch["boxes"]}, training=True)[
            "logits"
        ]
        loss = tf.reduce_sum(losses.cross_entropy(logits, batch["targets"])) / 16.0
    given = tape.gradient(loss, [weight.value for weight in network.trainable_variables])
    return tf.concat([tf.reshape(part, [-1]) for part in given if part is not None], axis=0)


@pytest.mark.large
def test_two_replicas_of_a_resnet_differ_no_more_than_faces_in_another_order(two_replicas):
    """What is left of a difference is the order in which numbers are added."""
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.uniform(0, 255, (16, 32, 32, 3)).astype(np.float32),
        "boxes": np.tile(ran_tf.fixed_boxes(1), (16, 1, 1)),
        "targets": np.eye(8, dtype=np.float32)[rng.integers(0, 8, 16)],
    }
    arguments = {"backbone": "resnet18", "size": (32, 32), "synchronized": True}
    one = ran_tf.RegionAttentionNetwork(**arguments)
    with two_replicas.scope():
        two = ran_tf.RegionAttentionNetwork(**arguments)
    two.set_weights(one.get_weights())

    @tf.function
    def of_both():
        def replica():
            context = tf.distribute.get_replica_context()
            places = tf.range(8) * 2 + context.replica_id_in_sync_group
            own = {name: tf.gather(tf.constant(rows), places) for name, rows in batch.items()}
            return context.all_reduce(tf.distribute.ReduceOp.SUM, _gradient(two, own))

        return two_replicas.run(replica)

    start, order = one.get_weights(), rng.permutation(16)
    want = _gradient(one, batch).numpy()
    one.set_weights(start)
    other = _gradient(one, {name: rows[order] for name, rows in batch.items()}).numpy()
    found = two_replicas.experimental_local_results(of_both())[0].numpy()
    by_order = np.linalg.norm(other - want) / np.linalg.norm(want)
    by_devices = np.linalg.norm(found - want) / np.linalg.norm(want)
    assert 0 < by_devices < 5 * by_order < 1e-2
