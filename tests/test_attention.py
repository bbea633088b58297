"""Attention and the network's arithmetic against NumPy, written from the paper's equations."""

import numpy as np
import pytest

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
    for name in ("resnet18", "MobileNetV3Small", "tiny"):
        with pytest.raises(ValueError, match=f"Received: name='{name}'"):
            ran_tf.register_backbone(name, lambda pixels, *, synchronized: pixels)
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
