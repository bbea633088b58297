"""One objective: `fit` trains what the training step trains; terms of users are added."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import registry
from ran_tf.config import ObjectiveConfig
from ran_tf.models import objective
from ran_tf.training import optimizers
from ran_tf.training.tensorflow_engine import TensorFlowEngine
from tests.training.test_jax_engine import ARGUMENTS, CONFIG
from tests.training.test_step import make_batch


@pytest.fixture
def batch():
    return {**make_batch(faces=8, k=6), "mask": np.ones((8, 6), bool)}


def inputs_of(batch):
    return {name: batch[name] for name in ("image", "boxes", "mask", "key")}


def test_fit_trains_as_the_step_does(batch):
    keras.utils.set_random_seed(0)
    engine = TensorFlowEngine(CONFIG, ARGUMENTS, strategy=tf.distribute.get_strategy())
    model = ran_tf.RegionAttentionNetwork(**ARGUMENTS)
    model.set_weights(engine.state.model.get_weights())
    model.compile(optimizers.make_optimizer(CONFIG.optimizer, model), objective=CONFIG.objective)
    model.optimizer.learning_rate = 0.02
    want, got = [], []
    for number in range(10):
        sums = engine.step({n: tf.constant(v) for n, v in batch.items()}, number=number, rate=0.02)
        means = {n: float(v) / 8 for n, v in sums.items()}
        want.append(float(objective.total(means, config=CONFIG.objective)))
        got.append(float(model.train_on_batch(inputs_of(batch), batch["labels"])))
    np.testing.assert_allclose(got, want, rtol=2e-3)
    assert want[-1] < 0.99 * want[0]


def test_a_batch_without_keys_cannot_be_augmented(batch):
    model = ran_tf.RegionAttentionNetwork(**ARGUMENTS)
    model.compile("sgd", objective=ObjectiveConfig())
    inputs = {name: batch[name] for name in ("image", "boxes")}
    with pytest.raises(ValueError, match=r"`inputs` must have \"key\".*Received: \['boxes'"):
        model.fit(inputs, batch["labels"], verbose=0)
    with pytest.raises(ValueError, match="`loss` must be None with an objective"):
        model.compile("sgd", "mse", objective=ObjectiveConfig())


def test_an_objective_is_kept_in_a_keras_file(batch, tmp_path):
    model = ran_tf.RegionAttentionNetwork(**ARGUMENTS)
    model.compile("sgd", objective=CONFIG.objective)
    model.fit(inputs_of(batch), batch["labels"], verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    losses = [m.evaluate(inputs_of(batch), batch["labels"], verbose=0) for m in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert again.get_compile_config()["objective"] == model.get_compile_config()["objective"]


def test_losses_and_augmentations_of_ones_own(batch, monkeypatch):
    """Registered once, asked for by name, in the step and in `fit`."""
    monkeypatch.setattr(registry.LOSSES, "_theirs", {})
    monkeypatch.setattr(registry.AUGMENTATIONS, "_theirs", {})

    @ran_tf.register_loss("spread")
    def spread(outputs, targets, mask):
        return keras.ops.max(outputs["weights"], axis=-1)

    @ran_tf.register_augmentation("black")
    def black(image, draw, amount):
        return keras.ops.where((draw("chance") < amount)[:, None, None, None], 0.0, image)

    config = ObjectiveConfig(losses=("spread:0.5",))
    outputs = {
        "logits": np.zeros((2, 3), np.float32),
        "mu": np.full((2, 2), 0.5, np.float32),
        "weights": np.array([[0.7, 0.3], [0.2, 0.8]], np.float32),
    }
    targets = np.eye(3, dtype=np.float32)[:2]
    terms = objective.terms(outputs, targets, None, config=config)
    np.testing.assert_allclose(terms["spread"], [0.7, 0.8])
    total = objective.total(terms, config=config)
    np.testing.assert_allclose(total, np.log(3) + 0.02 + 0.5 * np.array([0.7, 0.8]), rtol=1e-5)
    assert objective.sum_names(config) == (
        "faces",
        "cross_entropy",
        "region_loss",
        "spread",
        "correct",
    )
    augment = ran_tf.AugmentConfig(augmentations=("black",))
    shown = objective.prepare(
        inputs_of(batch), batch["labels"], config=ObjectiveConfig(augment=augment)
    )
    assert (np.asarray(shown["inputs"]["image"]) == 0).all()


@pytest.mark.parametrize("texts", [("fog",), ("spread", "spread"), ("spread:much",)])
def test_names_that_cannot_be_losses(texts, monkeypatch):
    monkeypatch.setattr(registry.LOSSES, "_theirs", {"spread": None})
    with pytest.raises(ValueError, match="`losses` must be .*Received: losses="):
        ObjectiveConfig(losses=texts)


def test_an_objective_has_its_own_losses():
    model = ran_tf.RegionAttentionNetwork("tiny", num_classes=2, size=(32, 32))
    with pytest.raises(ValueError, match=r"`loss` must be None with an objective.*loss='mse'"):
        model.compile("sgd", "mse", objective=ran_tf.ObjectiveConfig())
