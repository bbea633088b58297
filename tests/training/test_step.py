"""The training step: PyTorch's update rule, and two replicas against one device."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.augment import draws, region_dropout
from ran_tf.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RegionConfig,
    TrainConfig,
)
from ran_tf.models import losses
from ran_tf.settings import replaced
from ran_tf.training import optimizers
from ran_tf.training.state import create_state
from ran_tf.training.tensorflow_engine import make_train_step
from tests.fixtures import tiny_backbone as tiny_backbone  # registers "tiny"

STILL = AugmentConfig(flip=False, rotate=0, scale=0, shift=0, erase=0, light=0)
TINY = ModelConfig(backbone="tiny", size=(32, 32))
MODEL = {"backbone": "tiny", "num_classes": 4, "size": (32, 32)}


@pytest.fixture(autouse=True)
def seeded():
    """The same initial weights in every run."""
    keras.utils.set_random_seed(0)


def assert_same_movement(got, want, start):
    """Two weight sets moved alike from the same start: 1 % of the movement, weight by weight.

    Batch norm over few faces amplifies rounding, in single elements more than in the whole.
    """
    for a, b, old in zip(got, want, start, strict=True):
        difference = np.linalg.norm(a.numpy() - b.numpy())
        assert difference <= 0.01 * np.linalg.norm(b.numpy() - old) + 1e-6, a.path


def make_batch(faces=7, k=3, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=(faces, k)) < 0.7
    mask[:, 0] = True
    return {
        "image": rng.integers(0, 256, (faces, 32, 32, 3)).astype(np.uint8),
        "boxes": np.tile(ran_tf.fixed_boxes(6)[:k], (faces, 1, 1)),
        "mask": mask,
        "labels": rng.dirichlet(np.ones(4), size=faces).astype(np.float32),
        "key": draws.face_keys(seed, np.arange(faces)),
    }


def run_steps(config, strategy, batches, weights=None, *, synchronized=False):
    with strategy.scope():
        state = create_state({**MODEL, "synchronized": synchronized}, config=config)
    if weights is not None:
        state.model.set_weights(weights)
        state.ema.set_weights(weights)
    step = make_train_step(state, config=config, strategy=strategy)
    sums = []
    for number, batch in enumerate(batches):
        dataset = tf.data.Dataset.from_tensor_slices(batch).batch(len(batch["mask"]))
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        for distributed in strategy.experimental_distribute_dataset(dataset.with_options(options)):
            result = step(distributed, tf.constant(number, tf.int64))
            sums.append({name: float(value) for name, value in result.items()})
    return state, sums


def test_sgd_is_pytorchs():
    """Weight decay joins the gradient before momentum; biases and norms are not decayed."""
    rate = 1e-4  # so that the second gradient is taken almost where the first was
    optimizer = OptimizerConfig(learning_rate=rate, weight_decay=0.1, momentum=0.9, ema=0.0)
    config = TrainConfig(
        model=TINY, optimizer=optimizer, objective=ObjectiveConfig(augment=STILL, margin=0.05)
    )
    reference = ran_tf.RegionAttentionNetwork(**MODEL)
    start = reference.get_weights()
    batches = [make_batch(seed=s) for s in (0, 1)]
    state, _ = run_steps(config, tf.distribute.get_strategy(), batches, start)

    velocity = [np.zeros(v.shape) for v in reference.trainable_variables]
    for batch in batches:
        with tf.GradientTape() as tape:
            out = reference(batch, training=True)
            loss = tf.reduce_mean(
                losses.cross_entropy(out["logits"], batch["labels"])
                + losses.region_biased_loss(out["mu"], margin=0.05, mask=batch["mask"])
            )
        gradients = tape.gradient(loss, [v.value for v in reference.trainable_variables])
        for i, (g, v) in enumerate(zip(gradients, reference.trainable_variables, strict=True)):
            decay = 0.1 if v.path.endswith("kernel") else 0.0
            velocity[i] = 0.9 * velocity[i] + g.numpy() + decay * v.numpy()
            v.assign(v.numpy() - rate * velocity[i])
    assert_same_movement(state.model.weights, reference.weights, start)


def test_two_replicas_equal_one_device(two_replicas):
    """Masks, losses, occluders, weight decay, clipping, EMA, and an uneven batch (4 + 3 faces)."""
    optimizer = OptimizerConfig(learning_rate=0.01, weight_decay=0.05, clip_norm=0.5, ema=0.9)
    covered = AugmentConfig(cover=0.8, cover_drawings=8)
    shown = ObjectiveConfig(margin=0.3, visibility_weight=0.5, augment=covered)
    config = TrainConfig(model=TINY, optimizer=optimizer, objective=shown)
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    batches = [make_batch(faces=7, seed=s) for s in (0, 1)]
    one, one_sums = run_steps(config, tf.distribute.get_strategy(), batches, start)
    two, two_sums = run_steps(config, two_replicas, batches, start, synchronized=True)
    # The second step starts from weights that differ by rounding, which batch norm amplifies.
    for a, b, rtol in zip(one_sums, two_sums, (2e-3, 5e-2), strict=True):
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=rtol)
    assert_same_movement(two.model.weights, one.model.weights, start)
    assert_same_movement(two.ema.weights, one.ema.weights, start)


def test_without_synchronised_batch_norm_a_step_is_the_mean_of_each_replicas_own(two_replicas):
    """Of the gradients, hence of the weights after a plain step, and of the moving statistics."""
    optimizer = OptimizerConfig(learning_rate=0.1, weight_decay=0.0, momentum=0.0, ema=0.0)
    config = TrainConfig(
        model=TINY, optimizer=optimizer, objective=ObjectiveConfig(augment=STILL, margin=0.3)
    )
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    batch = make_batch(faces=8)
    halves = [
        {name: part[rows] for name, part in batch.items()} for rows in np.arange(8).reshape(2, 4)
    ]
    two, _ = run_steps(config, two_replicas, [batch], start, synchronized=False)
    apart = [run_steps(config, tf.distribute.get_strategy(), [half], start)[0] for half in halves]
    means = [
        tf.constant((a.numpy() + b.numpy()) / 2)
        for a, b in zip(*(state.model.weights for state in apart), strict=True)
    ]
    assert_same_movement(two.model.weights, means, start)
    together, _ = run_steps(config, tf.distribute.get_strategy(), [batch], start)
    with pytest.raises(AssertionError):
        assert_same_movement(together.model.weights, means, start)


def test_adamw_decays_kernels_only_and_apart_from_the_gradient():
    """Adam's first step is at most the learning rate, whatever the gradient."""
    optimizer = OptimizerConfig(name="adamw", learning_rate=0.01, weight_decay=5.0, ema=0.0)
    config = TrainConfig(model=TINY, optimizer=optimizer, objective=ObjectiveConfig(augment=STILL))
    start = ran_tf.RegionAttentionNetwork(**MODEL)
    state, _ = run_steps(config, tf.distribute.get_strategy(), [make_batch()], start.get_weights())
    for new, old in zip(state.model.trainable_variables, start.trainable_variables, strict=True):
        shrink = 1 - 0.01 * 5.0 if new.path.endswith("kernel") else 1.0
        step = np.abs(new.numpy() - shrink * old.numpy()).max()
        assert step <= 0.0101, new.path


def test_clipping_bounds_the_update():
    optimizer = OptimizerConfig(
        learning_rate=1.0, weight_decay=0.0, momentum=0.0, clip_norm=1e-3, ema=0.0
    )
    config = TrainConfig(model=TINY, optimizer=optimizer, objective=ObjectiveConfig(augment=STILL))
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    state, _ = run_steps(config, tf.distribute.get_strategy(), [make_batch()], start)
    before = ran_tf.RegionAttentionNetwork(**MODEL)
    before.set_weights(start)
    squares = sum(
        np.square(a.numpy() - b.numpy()).sum()
        for a, b in zip(state.model.trainable_variables, before.trainable_variables, strict=True)
    )
    np.testing.assert_allclose(np.sqrt(squares), 1e-3, rtol=0.01)


def test_ema_follows_the_weights():
    config = TrainConfig(
        model=TINY, optimizer=OptimizerConfig(ema=0.9), objective=ObjectiveConfig(augment=STILL)
    )
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    state, _ = run_steps(config, tf.distribute.get_strategy(), [make_batch()], start)
    for mean, value, old in zip(state.ema.weights, state.model.weights, start, strict=True):
        keep = min(0.9, 1 / 10)
        np.testing.assert_allclose(mean, keep * old + (1 - keep) * value.numpy(), atol=1e-5)


def test_region_loss_weight_and_sums():
    config = TrainConfig(model=TINY, objective=ObjectiveConfig(augment=STILL, margin=0.9))
    state, sums = run_steps(config, tf.distribute.get_strategy(), [make_batch()])
    assert sums[0]["faces"] == 7
    assert sums[0]["region_loss"] > 0
    without = replaced(config, {"objective.region_loss_weight": 0.0})
    weights = state.model.get_weights()
    a, _ = run_steps(config, tf.distribute.get_strategy(), [make_batch()], weights)
    b, _ = run_steps(without, tf.distribute.get_strategy(), [make_batch()], weights)
    moved = a.model.self_attention.query.kernel - b.model.self_attention.query.kernel
    assert np.abs(moved).max() > 0


def test_a_step_on_some_regions_is_the_step_on_those_alone():
    """Region dropout and the region loss, against a step that never had the other regions."""
    config = TrainConfig(
        model=TINY,
        optimizer=OptimizerConfig(ema=0.0),
        objective=ObjectiveConfig(augment=STILL, margin=0.3),
    )
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    batch = make_batch()
    kept = region_dropout.choose_regions(
        batch["boxes"],
        batch["mask"],
        draws.make_draw(batch["key"])("region_dropout", 2),
        count=2,
    )
    some = replaced(config, {"objective.regions_per_step": 2})
    device = tf.distribute.get_strategy()
    got, got_sums = run_steps(some, device, [batch], start)
    want, want_sums = run_steps(
        config, device, [{**batch, **{n: np.asarray(v) for n, v in kept.items()}}], start
    )
    np.testing.assert_allclose([*got_sums[0].values()], [*want_sums[0].values()], rtol=1e-4)
    assert_same_movement(got.model.weights, want.model.weights, start)


def test_frozen_layers_keep_weights_and_statistics():
    config = TrainConfig(
        model=TINY, optimizer=OptimizerConfig(ema=0.0), objective=ObjectiveConfig(augment=STILL)
    )
    state = create_state(MODEL, config=dataclasses.replace(config, freeze="relu0"))
    before = {v.path: v.numpy() for v in state.model.weights}
    step = make_train_step(state, config=config, strategy=tf.distribute.get_strategy())
    step({k: tf.constant(v) for k, v in make_batch().items()}, tf.constant(0, tf.int64))
    moved = {v.path for v in state.model.weights if (v.numpy() != before[v.path]).any()}
    frozen = ("conv0/", "bn0/")
    assert not {path for path in moved if path.startswith(frozen)}
    assert {"conv1/kernel", "bn1/moving_mean", "classifier/kernel"} <= moved


def test_freezing_names_the_layers():
    with pytest.raises(ValueError, match="conv1"):
        create_state(MODEL, config=TrainConfig(freeze="conv_9"))


@pytest.mark.parametrize("kind", ["landmarks", "fixed"])
def test_landmark_regions_move_with_the_face_and_others_stay(kind):
    """A step on faces that are all mirrored is that on faces mirrored before."""
    still = TrainConfig(
        data=DataConfig(regions=RegionConfig(kind=kind, k=6)),
        model=TINY,
        objective=ObjectiveConfig(augment=STILL),
        optimizer=OptimizerConfig(ema=0.0),
    )
    flipping = replaced(still, {"objective.augment.flip": True})
    batch = make_batch()
    keys = draws.face_keys(0, np.arange(1000))
    batch["key"] = keys[np.asarray(draws.make_draw(keys)("flip")) < 0.5][: len(batch["key"])]
    before = {**batch, "image": batch["image"][:, :, ::-1]}
    if kind == "landmarks":
        for some in (batch, before):
            some["follows"] = np.tile(np.arange(batch["boxes"].shape[1]) > 0, (7, 1))
        y0, x0, y1, x1 = np.moveaxis(batch["boxes"], -1, 0)
        before["boxes"] = np.stack([y0, 1 - x1, y1, 1 - x0], axis=-1)
    start = ran_tf.RegionAttentionNetwork(**MODEL).get_weights()
    device = tf.distribute.get_strategy()
    got, got_sums = run_steps(flipping, device, [batch], start)
    want, want_sums = run_steps(still, device, [before], start)
    np.testing.assert_allclose([*got_sums[0].values()], [*want_sums[0].values()], rtol=1e-4)
    assert_same_movement(got.model.weights, want.model.weights, start)


@pytest.mark.parametrize(("number", "keep"), [(0, 0.1), (8, 0.5), (1000, 0.9)])
def test_the_average_follows_quickly_at_first(number, keep):
    assert float(optimizers.averaging_decay(number, ema=0.9)) == pytest.approx(keep)
