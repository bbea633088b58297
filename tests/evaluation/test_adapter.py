"""Models of others: classes by name, and what a function may return."""

import numpy as np
import pytest

import ran_tf
from ran_tf.checks import InvalidArgument


def brightness(faces):
    """Three classes, in an order of its own."""
    bright = faces.mean(axis=(1, 2, 3), keepdims=False) > 127
    return np.stack([bright, np.zeros(len(faces)), ~bright], axis=1)


def test_classes_go_by_name(synthetic_dir):
    model = ran_tf.Adapter(
        "brightness", ("sadness", "neutral", "happiness"), brightness, dataset="synthetic_faces"
    )
    report = ran_tf.evaluate(model, "test[:60]", data_dir=synthetic_dir)
    data = ran_tf.load_dataset(
        "synthetic_faces", image_size=48, test_split="test[:60]", data_dir=synthetic_dir
    )
    pairs = list(data.test.as_numpy_iterator())
    faces = np.concatenate([x["image"] for x, _ in pairs])
    label = np.concatenate([y for _, y in pairs]).argmax(axis=1)
    bright = faces.mean(axis=(1, 2, 3)) > 127
    right = np.where(bright, label == 3, label == 1)  # sadness, happiness
    assert report.subsets["all"].accuracy == pytest.approx(right.mean())
    tried = ran_tf.robustness(model, "test", limit=30, kinds=["hat"], data_dir=synthetic_dir)
    assert tried.numbers["model"]["conditions"]["hat"]["exposure"] is None


def test_what_is_no_adapter_is_named(synthetic_dir):
    with pytest.raises(InvalidArgument, match="`labels`"):
        ran_tf.Adapter("a", ("happy", "sad"), brightness, dataset="ferplus")
    model = ran_tf.Adapter("a", ("sadness", "happiness"), brightness, dataset="synthetic_faces")
    with pytest.raises(ValueError, match=r"`predict` must return probabilities \[8, 2\]"):
        ran_tf.evaluate(model, "test[:8]", data_dir=synthetic_dir)
