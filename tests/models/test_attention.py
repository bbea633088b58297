"""Attention and the network's arithmetic against NumPy, written from the paper's equations."""

import numpy as np
import pytest
import tensorflow as tf

import ran_tf


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def oracle(features, mask, weights, *, attention, relation):
    """Face by face, only over the regions that are there (float64)."""
    q0, c0, q1, c1, head, bias = weights
    b, k, _ = features.shape
    out = {name: np.zeros((b, k)) for name in ("mu", "nu", "weights")}
    out["logits"] = np.zeros((b, head.shape[1]))
    for i in range(b):
        there = np.flatnonzero(mask[i])
        f = features[i, there]
        mu = sigmoid(f @ q0 + c0)[:, 0]
        if attention == "softmax":
            mu = softmax(mu)
        anchor = (mu[:, None] * f).sum(0) / mu.sum()
        pairs = np.concatenate([f, np.tile(anchor, (len(there), 1))], axis=1)
        if relation:
            nu = sigmoid(pairs @ q1 + c1)[:, 0]
            if attention == "softmax":
                nu = softmax(nu)
            face = ((mu * nu)[:, None] * pairs).sum(0) / (mu * nu).sum()
        else:
            nu, face = np.ones_like(mu), anchor
        out["mu"][i, there], out["nu"][i, there] = mu, nu
        out["weights"][i, there] = mu * nu / (mu * nu).sum()
        out["logits"][i] = face @ head + bias
    return out


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    mask = np.ones((4, 6), bool)
    mask[1, 3:] = False
    mask[2, 1:] = False
    return {
        "image": rng.integers(0, 256, (4, 20, 20, 3)).astype(np.uint8),
        "boxes": np.tile(ran_tf.fixed_boxes(6), (4, 1, 1)),
        "mask": mask,
    }


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.parametrize("relation", [True, False])
@pytest.mark.parametrize(("masked", "k"), [(True, 6), (False, 6), (True, 1), (False, 1)])
def test_network_equals_the_oracle(batch, attention, relation, masked, k):
    model = make_model(batch, attention=attention, relation=relation)
    inputs = {**batch, "boxes": batch["boxes"][:, :k], "mask": batch["mask"][:, :k]}
    mask = inputs["mask"] if masked else np.ones((4, k), bool)
    if not masked:
        del inputs["mask"]
    features = np.asarray(model.region_features(inputs["image"], inputs["boxes"]), np.float64)
    weights = [np.asarray(w, np.float64) for w in model.weights[model_start(model) :]]
    if not relation:
        weights = [*weights[:2], None, None, *weights[2:]]
    expected = oracle(features, mask, weights, attention=attention, relation=relation)
    if k > 1:  # else an exchange of regions, or of mu and nu, would not be seen
        for name in ("mu", "nu", "weights") if relation else ("mu", "weights"):
            assert np.ptp(expected[name][0]) > 0.02, name
    got = model(inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=2e-5, rtol=2e-4, err_msg=name)
    np.testing.assert_allclose(np.sum(got["weights"], axis=1), 1, atol=1e-6)
    assert (np.asarray(got["weights"])[~mask] == 0).all()
    assert (np.asarray(got["mu"])[~mask] == 0).all()


def model_start(model):
    return len(model.backbone.weights)


def make_model(inputs, **arguments):
    """One of which every weight matters: a new network's features vanish (1e-19)."""
    model = ran_tf.RegionAttentionNetwork("mobilenet_v1", 5, size=(32, 32), **arguments)
    for layer in model.backbone.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    model(inputs, training=True)  # leaves the batch statistics of these faces
    rng = np.random.default_rng(2)
    for weight in model.weights[model_start(model) :]:
        weight.assign(rng.normal(size=weight.shape) * 3 / np.sqrt(weight.shape[0]))
    return model


def test_masked_regions_change_nothing(batch):
    """What lies under a masked box must not reach any output."""
    model = make_model(batch)
    moved = {**batch, "boxes": batch["boxes"].copy()}
    moved["boxes"][1, 3:] = (0.4, 0.4, 0.5, 0.5)
    said, again = model(batch), model(moved)
    for name, value in said.items():
        np.testing.assert_allclose(value, again[name], atol=1e-6, err_msg=name)
    seen = model({**moved, "mask": np.ones_like(batch["mask"])})
    assert np.abs(seen["logits"][1] - said["logits"][1]).max() > 1e-3, "it shows where it is seen"


def exact_weights(features, mask, weights, *, attention):
    """Normalised weights in float64, of logarithms."""
    q0, c0, q1, c1, *_ = weights

    def logs(scores):
        scores = scores[..., 0]
        own = -np.logaddexp(0, -scores)
        return np.where(mask, np.exp(own) if attention == "softmax" else own, -np.inf)

    mu = logs(features @ q0 + c0)
    anchor = (softmax(mu)[..., None] * features).sum(axis=1, keepdims=True)
    pairs = np.concatenate([features, np.broadcast_to(anchor, features.shape)], axis=-1)
    return softmax(mu + logs(pairs @ q1 + c1))


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.parametrize(
    ("scale", "bias"),
    [(1, -60), (1, 60), (100, 0), (100, -1000)],
    ids=["all saturated low", "all saturated high", "features x 100", "far beyond float32"],
)
def test_weights_are_exact_where_sigmoids_saturate(batch, attention, scale, bias):
    """A sigmoid at -104 is 0 in float32, and a quotient of such products 0/0."""
    model = make_model(batch, attention=attention)
    for layer in (model.self_attention, model.relation_attention):
        layer.query.kernel.assign(layer.query.kernel * scale)
        layer.query.bias.assign(layer.query.bias + bias)
    features = np.asarray(model.region_features(batch["image"], batch["boxes"]), np.float64)
    weights = [np.asarray(w, np.float64) for w in model.weights[model_start(model) :]]
    want = exact_weights(features, batch["mask"], weights, attention=attention)
    got = model(batch)
    # Scores in the hundreds have a last place of 3e-5.
    np.testing.assert_allclose(got["weights"], want, atol=2e-5 if scale == 1 else 1e-3)
    assert (np.asarray(got["weights"])[~batch["mask"]] == 0).all()
    np.testing.assert_allclose(np.sum(got["weights"], axis=1), 1, atol=1e-6)
    assert all(np.isfinite(value).all() for value in got.values())


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_saturates_no_weight(batch, dtype):
    model = make_model(batch)
    for layer in (model.self_attention, model.relation_attention):
        layer.query.bias.assign(layer.query.bias - 60)
    half = model.twin(dtype=dtype)
    features = np.asarray(half.region_features(batch["image"], batch["boxes"]), np.float64)
    weights = [np.asarray(w, np.float64) for w in model.weights[model_start(model) :]]
    want = exact_weights(features, batch["mask"], weights, attention="sigmoid")
    np.testing.assert_allclose(half(batch)["weights"], want, atol=2e-5)


@pytest.mark.parametrize("relation", [True, False])
@pytest.mark.parametrize("k", [1, 6])
def test_a_face_of_which_nothing_is_left_is_finite(batch, relation, k):
    model = make_model(batch, relation=relation)
    inputs = {**batch, "boxes": batch["boxes"][:, :k], "mask": batch["mask"][:, :k].copy()}
    inputs["mask"][0] = False
    got = model(inputs)
    assert (np.asarray(got["weights"])[0] == 0).all()
    assert all(np.isfinite(value).all() for value in got.values())


def test_gradients_pass_where_every_region_saturates(batch):
    model = make_model(batch)
    model.self_attention.query.bias.assign([-150.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch)["logits"][:, 0])
    gradient = tape.gradient(loss, model.self_attention.query.kernel.value).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-4


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="Received: attention='sigmod'"):
        ran_tf.SelfAttention("sigmod")
    with pytest.raises(ValueError, match="Received: backbone='resnet19'"):
        ran_tf.RegionAttentionNetwork("resnet19")
    with pytest.raises(ValueError, match="Received: trunk='half'"):
        ran_tf.RegionAttentionNetwork("mobilenet_v1", trunk="half")
    with pytest.raises(ValueError, match="Received: preprocessing='caffe'"):
        ran_tf.RegionAttentionNetwork("mobilenet_v1", size=(32, 32), preprocessing="caffe")
    with pytest.raises(ValueError, match="'MobileNetV3Small'.*Received: preprocessing='unit'"):
        ran_tf.RegionAttentionNetwork("MobileNetV3Small", size=(32, 32), preprocessing="unit")
    with pytest.raises(ValueError, match="'tiny'.*Received: preprocessing='unit'"):
        ran_tf.RegionAttentionNetwork("tiny", size=(32, 32), preprocessing="unit")
    with pytest.raises(ValueError, match="Received: name='resnet18'"):
        ran_tf.register_backbone("resnet18", lambda pixels, *, synchronized: pixels)
    with pytest.raises(ValueError, match="Received: size=224"):
        ran_tf.RegionAttentionNetwork("mobilenet_v1", size=224)


def test_a_call_names_what_is_wrong_with_its_inputs(batch):
    model = make_model(batch)
    b, k, _ = batch["boxes"].shape
    wrong = {
        "Received: EagerTensor": batch["image"],
        r"Received: \['boxes', 'image'\]": {"image": batch["image"], "boxes": None},
        r"Received: \['image'\]": {"image": batch["image"]},
        r"`image` must have 4 axes.*Received: image.shape=\(": {
            **batch,
            "image": batch["image"][0],
        },
        r"`mask` must have 2 axes.*": {**batch, "mask": batch["mask"][0]},
        # Both would be broadcast in silence.
        rf"Received: mask.shape=\({b}, 1\), boxes.shape=\({b}, {k}, 4\)": {
            **batch,
            "mask": batch["mask"][:, :1],
        },
        rf"Received: mask.shape=\(1, {k}\)": {**batch, "mask": batch["mask"][:1]},
    }
    for message, inputs in wrong.items():
        with pytest.raises(ValueError, match=message):
            model(inputs)
