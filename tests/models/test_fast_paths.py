"""The fast paths train as the plain ones do: the same losses, step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.config import AugmentConfig, ObjectiveConfig, OptimizerConfig, TrainConfig
from ran_tf.models import norm
from ran_tf.training.state import create_state
from ran_tf.training.tensorflow_engine import make_train_step

FACES, STEPS = 8, 8
STILL = AugmentConfig(flip=False, rotate=0, scale=0, shift=0, erase=0, light=0)


def losses_of(config, *, model, start, batch) -> np.ndarray:
    """Cross-entropy a face of each step, from given weights."""
    state = create_state(model, config=config)
    state.model.set_weights(start)
    step = make_train_step(state, config=config, strategy=tf.distribute.get_strategy())
    sums = [step(batch, tf.constant(i, tf.int64)) for i in range(STEPS)]
    return np.array([float(s["cross_entropy"]) / FACES for s in sums])


# Small steps: rounding grows with them, from step to step.
@pytest.mark.parametrize(
    ("backbone", "rate"),
    [
        ("tiny", 0.05),
        pytest.param("mobilenet_v1", 3e-7, marks=pytest.mark.large),
        pytest.param("resnet18", 2e-5, marks=pytest.mark.large),
    ],
)
def test_loss_curves_of_fast_and_plain_path_agree(backbone, rate, monkeypatch):
    """One kernel for batch norm, one for crops, bfloat16: against Keras, gathers and float32."""
    keras.utils.set_random_seed(0)
    model = {"backbone": backbone, "num_classes": 4, "size": (64, 64)}
    optimizer = OptimizerConfig(learning_rate=rate, ema=0.0)
    config = TrainConfig(objective=ObjectiveConfig(augment=STILL), optimizer=optimizer)
    start = ran_tf.RegionAttentionNetwork(**model).get_weights()
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (FACES, 32, 32, 3)).astype(np.uint8)
    labels = np.eye(4, dtype=np.float32)[rng.integers(0, 4, FACES)]
    # One batch again and again, so that the loss falls.
    batch = {
        "image": tf.constant(faces),
        "boxes": tf.constant(np.tile(ran_tf.fixed_boxes(6)[:2], (FACES, 1, 1))),
        "mask": tf.ones([FACES, 2], tf.bool),
        "labels": tf.constant(labels),
        "key": tf.range(FACES),
    }
    got = losses_of(config, model=model, start=start, batch=batch)
    rounded = losses_of(
        config, model={**model, "dtype": "mixed_bfloat16"}, start=start, batch=batch
    )
    with monkeypatch.context() as patch:
        patch.setattr(norm.BatchNorm, "_can_fuse", lambda self, inputs, *, mask: False)
        want = losses_of(config, model={**model, "portable": True}, start=start, batch=batch)
    assert want[-1] < 0.95 * want[0], "a curve that does not fall shows nothing"
    np.testing.assert_allclose(got, want, rtol=0.01)
    # Batch norm over few faces amplifies bfloat16's rounding from step to step.
    np.testing.assert_allclose(rounded[:2], want[:2], rtol=0.05)
    np.testing.assert_allclose(rounded.mean(), want.mean(), rtol=0.15)
