"""Mixup: its shares against the beta distribution, its blends against NumPy, and in a step."""

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.augment import draws, mixup
from ran_tf.config import DataConfig, ObjectiveConfig, OptimizerConfig, RegionConfig, TrainConfig
from ran_tf.settings import replaced
from tests.training import test_step


def shares(alpha, draws):
    """What `mix` keeps of each face: of ones blended with zeros, for faces in pairs."""
    ones = np.repeat([1.0, 0.0], len(draws)).astype(np.float32)
    image = np.broadcast_to(ones[:, None, None, None], (len(ones), 1, 1, 1))
    twice = np.concatenate([draws, draws]).astype(np.float32)
    mixed = mixup.mix(image, ones[:, None], twice, alpha=alpha)
    return np.asarray(mixed["targets"])[: len(draws), 0]


@pytest.mark.parametrize(
    ("alpha", "quantile"), [(1.0, lambda u: u), (0.5, lambda u: np.sin(np.pi * u / 2) ** 2)]
)
def test_shares_are_the_quantiles_that_have_a_formula(alpha, quantile):
    draws = np.linspace(0.0, 1.0, 1234)
    np.testing.assert_allclose(shares(alpha, draws), quantile(draws), atol=2e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.7, 2.0, 4.0])
def test_shares_are_distributed_as_numpys(alpha):
    """Kolmogorov and Smirnov's distance to as many of NumPy's; 1 % of equals are further apart."""
    rng, count = np.random.default_rng(0), 40_000
    drawn = shares(alpha, rng.uniform(size=count)), rng.beta(alpha, alpha, count)
    # Rounded: of shares that hardly differ from 0 and 1 float64 tells apart more than float32.
    got, want = (np.sort(np.round(x.astype(np.float64), 6)) for x in drawn)
    values = np.concatenate([got, want])
    below = [np.searchsorted(x, values, side="right") / count for x in (got, want)]
    assert np.abs(below[0] - below[1]).max() < 1.63 * np.sqrt(2 / count)


def example(faces=5):
    rng = np.random.default_rng(0)
    return (
        rng.uniform(0, 255, (faces, 4, 3, 3)).astype(np.float32),
        rng.dirichlet(np.ones(4), size=faces).astype(np.float32),
        rng.uniform(size=faces).astype(np.float32),
    )


def test_face_and_target_are_blended_alike_with_those_of_the_mirrored_place():
    image, targets, draws = example()
    mixed = mixup.mix(image, targets, draws, alpha=1.0)  # then the share is the draw
    for i, share in enumerate(draws):
        for name, values in (("image", image), ("targets", targets)):
            want = share * values[i] + (1 - share) * values[-1 - i]
            np.testing.assert_allclose(np.asarray(mixed[name])[i], want, rtol=1e-5, err_msg=name)


def test_the_same_inside_tf_data():
    arrays = example()
    eager = mixup.mix(*arrays, alpha=0.2)
    (mixed,) = tf.data.Dataset.from_tensors(arrays).map(lambda *a: mixup.mix(*a, alpha=0.2))
    for name in eager:
        np.testing.assert_array_equal(mixed[name], eager[name])


@pytest.mark.parametrize("regions_per_step", [0, 2])
def test_a_step_on_mixed_faces_is_the_step_on_faces_mixed_before(regions_per_step):
    config = TrainConfig(
        data=DataConfig(regions=RegionConfig(kind="random", k=3)),
        model=test_step.TINY,
        objective=ObjectiveConfig(
            augment=test_step.STILL, margin=0.3, regions_per_step=regions_per_step
        ),
        optimizer=OptimizerConfig(ema=0.0),
    )
    mixing = replaced(config, {"objective.mixup": 0.7})
    batch = test_step.make_batch()
    share = draws.make_draw(batch["key"])("mixup")
    mixed = mixup.mix(batch["image"].astype(np.float32), batch["labels"], share, alpha=0.7)
    before = {**batch, "image": mixed["image"].numpy(), "labels": mixed["targets"].numpy()}
    start = ran_tf.RegionAttentionNetwork(**test_step.MODEL).get_weights()
    device = tf.distribute.get_strategy()
    got, got_sums = test_step.run_steps(mixing, device, [batch], start)
    want, want_sums = test_step.run_steps(config, device, [before], start)
    np.testing.assert_allclose([*got_sums[0].values()], [*want_sums[0].values()], rtol=1e-4)
    test_step.assert_same_movement(got.model.weights, want.model.weights, start)


def test_without_mixup_or_with_a_usual_parameter_only():
    for wrong in (0.001, -1.0, 5.0):
        with pytest.raises(ValueError, match=f"mixup.*Received: mixup={wrong}"):
            ObjectiveConfig(mixup=wrong)
