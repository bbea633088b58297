"""Losses against NumPy loops."""

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import vocabulary
from ran_tf.models import losses


def biased_loss_oracle(mu, mask, margin):
    out = []
    for weights, there in zip(mu, mask, strict=True):
        others = [w for w, t in zip(weights[1:], there[1:], strict=True) if t]
        out.append(max(0.0, margin - (max(others) - weights[0])) if others else 0.0)
    return np.array(out)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.5])
def test_region_biased_loss(margin):
    rng = np.random.default_rng(0)
    mu = rng.uniform(size=(50, 6)).astype(np.float32)
    mask = rng.uniform(size=(50, 6)) < 0.5
    mask[:, 0] = True
    mask[0, 1:] = False
    everything = np.ones_like(mask)
    np.testing.assert_allclose(
        losses.region_biased_loss(mu, margin=margin),
        biased_loss_oracle(mu, everything, margin),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        losses.region_biased_loss(mu, margin=margin, mask=mask),
        biased_loss_oracle(mu, mask, margin),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        ran_tf.RegionBiasedLoss(margin)(mask, mu),
        biased_loss_oracle(mu, mask, margin).mean(),
        atol=1e-6,
    )


def test_no_region_left_has_no_loss_and_a_finite_gradient():
    assert (np.asarray(losses.region_biased_loss(np.full((3, 1), 0.9))) == 0).all()
    mu = tf.Variable([[0.9, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = losses.region_biased_loss(mu, mask=np.array([[True, False, False]]))
    np.testing.assert_array_equal(tape.gradient(loss, mu), [[0.0, 0.0, 0.0]])


def test_gradient_raises_the_best_region_and_lowers_the_face():
    mu = tf.Variable([[0.9, 0.3, 0.6]])
    with tf.GradientTape() as tape:
        loss = losses.region_biased_loss(mu)
    np.testing.assert_allclose(tape.gradient(loss, mu), [[1.0, 0.0, -1.0]])


def test_loss_is_serialisable():
    loss = ran_tf.RegionBiasedLoss(0.1)
    assert ran_tf.RegionBiasedLoss.from_config(loss.get_config()).margin == 0.1
    with pytest.raises(ValueError, match="Received: margin=-1"):
        ran_tf.RegionBiasedLoss(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_on_votes(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=5, size=(20, 8)).astype(np.float32)
    votes = rng.dirichlet(np.ones(8), size=20).astype(np.float32)
    target = votes * (1 - smoothing) + smoothing / 8
    exponentials = np.exp(logits.astype(np.float64))
    log_p = np.log(exponentials / exponentials.sum(1, keepdims=True))
    np.testing.assert_allclose(
        losses.cross_entropy(logits, votes, label_smoothing=smoothing),
        -(target * log_p).sum(1),
        rtol=1e-4,
    )


def test_weights_of_one_face_alone_are_refused():
    with pytest.raises(ValueError, match=r"`mu` must be f32\[b, k\]. Received: mu.shape=\(3,\)"):
        losses.region_biased_loss(np.float32([0.1, 0.2, 0.3]))


def visibility_oracle(weights, covered, mask, kind):
    out = []
    for w, c, there in zip(weights, covered, mask, strict=True):
        w, v = w[there].astype(float), 1.0 - c[there].astype(float)
        if not (len(v) and c[there].max() > 0.01 and v.max() > 0.01):
            out.append(0.0)
        elif kind in ("kl", "own"):
            wanted = v**4 * (w if kind == "own" else 1.0)
            wanted = wanted / wanted.sum()
            out.append(sum(t * np.log(t / x) for t, x in zip(wanted, w, strict=True) if t))
        else:
            pairs = [(i, j) for i in range(len(v)) for j in range(len(v)) if v[i] - v[j] > 0.1]
            short = [max(0.0, 0.02 - (w[i] - w[j])) for i, j in pairs]
            out.append(np.mean(short) if short else 0.0)
    return np.array(out)


@pytest.mark.parametrize("kind", vocabulary.VISIBILITY_LOSSES)
def test_visibility_loss(kind):
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(50, 6)) < 0.7
    mask[:, 0] = True
    weights = rng.dirichlet(np.ones(6), size=50).astype(np.float32)
    covered = rng.uniform(size=(50, 6)).astype(np.float32)
    covered[0], covered[1], covered[2, 1:] = 0.0, 1.0, 0.0
    got = losses.visibility_loss(weights, covered, kind=kind, mask=mask)
    np.testing.assert_allclose(got, visibility_oracle(weights, covered, mask, kind), atol=1e-5)
    got = losses.visibility_loss(weights, covered, kind=kind)
    everything = np.ones_like(mask)
    np.testing.assert_allclose(
        got, visibility_oracle(weights, covered, everything, kind), atol=1e-5
    )
    assert got[0] == got[1] == 0


@pytest.mark.parametrize("kind", vocabulary.VISIBILITY_LOSSES)
def test_visibility_moves_weights_away_from_what_is_covered(kind):
    """Also where the covered region has all the weight, and others none that float32 knows."""
    scores = tf.Variable([[0.0, 30.0, -30.0]])
    covered = np.float32([[0.4, 1.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = losses.visibility_loss(tf.nn.softmax(scores), covered, kind=kind)
    slope = tape.gradient(loss, scores).numpy()[0]
    assert np.isfinite(slope).all()
    if kind != "rank":  # what ranks do is flat there
        # To the region that is seen, or to that of the two which the network itself prefers.
        to = 2 if kind == "kl" else 0
        assert slope[1] > 0.5 and slope[to] < -0.5
    scores.assign([[0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = losses.visibility_loss(tf.nn.softmax(scores), covered, kind=kind)
    slope = tape.gradient(loss, scores).numpy()[0]
    assert slope[1] > 0 > slope[2]
    with pytest.raises(ValueError, match="`kind` must be one of .* Received: kind='mse'"):
        losses.visibility_loss(scores, covered, kind="mse")
