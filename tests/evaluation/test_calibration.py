"""Temperature: against a known one, and what it leaves as it was."""

import numpy as np
import pytest

import ran_tf
from ran_tf.checks import InvalidArgument
from ran_tf.evaluation import calibration, metrics
from ran_tf.models.ran import RegionAttentionNetwork
from tests.exports import test_export as export_files


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_logits_were_multiplied_by_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    label = np.array([rng.choice(5, p=p) for p in softmax(logits)])
    said = softmax(logits * temperature).astype(np.float32)
    found = calibration.fit_temperature(said, label)
    assert found == pytest.approx(temperature, rel=0.08)
    mended = softmax(np.log(np.maximum(said, 1e-30)) / found)
    best = metrics.negative_log_likelihood(mended, label)
    for other in (0.97, 1.03):
        worse = softmax(np.log(np.maximum(said, 1e-30)) / (found * other))
        assert metrics.negative_log_likelihood(worse, label) > best


def test_a_network_is_calibrated_in_its_weights_and_its_preset_too(tmp_path):
    model = export_files.make_model()
    model.card = export_files.make_card()
    for weight in model.classifier.weights:
        weight.assign(weight * 50)
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (40, *model.card.image_size, 3)).astype(np.uint8)
    boxes = np.tile(ran_tf.fixed_boxes(6), (40, 1, 1))
    classes = len(model.card.labels)
    data = [({"image": faces, "boxes": boxes}, rng.integers(0, classes, 40))]
    before = model({"image": faces, "boxes": boxes})["logits"]
    known = ran_tf.save_to_preset(model, tmp_path / "mine", calibration=data)
    np.testing.assert_array_equal(model({"image": faces, "boxes": boxes})["logits"], before)
    assert model.card.temperature == 1.0 and known["weights_bytes"] > 0
    temperature = ran_tf.calibrate(model, data)
    after = model({"image": faces, "boxes": boxes})["logits"]
    np.testing.assert_allclose(after, before / temperature, rtol=1e-4, atol=1e-5)
    assert temperature > 1.5 and model.card.temperature == temperature
    loaded = ran_tf.from_preset(tmp_path / "mine")
    assert loaded.card.temperature == pytest.approx(temperature, rel=1e-6)
    again = loaded({"image": faces, "boxes": boxes})["logits"]
    np.testing.assert_allclose(again, after, atol=0.1)  # weights of float16
    assert f"{temperature:.3f}" in (tmp_path / "mine" / "README.md").read_text()


def test_a_network_without_a_card_is_refused():
    model = RegionAttentionNetwork("mobilenet_v1", num_classes=2, size=(32, 32))
    with pytest.raises(InvalidArgument, match="`model` must be a network with a card"):
        ran_tf.calibrate(model, [])
