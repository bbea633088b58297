"""What other packages export, or keras.json says, changes no network, or is told in one line."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import ran_tf
from ran_tf.config import TrainConfig
from ran_tf.exports import export
from ran_tf.inference import runner
from ran_tf.training.tensorflow_engine import TensorFlowEngine
from ran_tf.weights import export_folder
from tests.fixtures.commands import run_python

PRESET = "face_faceres_ferplus"
TINY = {"backbone": "tiny", "num_classes": 5, "size": (32, 32)}


def test_a_command_sets_the_backend_that_it_needs(tmp_path):
    (tmp_path / "keras").mkdir()
    settings = {
        "backend": "torch",
        "image_data_format": "channels_first",
        "floatx": "float32",
        "epsilon": 1e-7,
    }
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(settings))
    face = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    Image.fromarray(face).save(tmp_path / "face.png")
    command = ("-m", "ran_tf.launch.predict", f"--model={PRESET}", "--json=-", "face.png")
    others = {"KERAS_BACKEND": "jax", "KERAS_HOME": tmp_path / "keras", "TF_USE_LEGACY_KERAS": "1"}
    run = run_python(*command, cwd=tmp_path, **others)
    (want,) = ran_tf.Predictor(PRESET, engine="keras")([face])
    (said,) = json.loads(run.stdout)
    assert said["label"] == want.label
    np.testing.assert_allclose(said["probability"], want.probability, atol=1e-3)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v1", "vgg16", "MobileNetV3Small"])
def test_maps_have_their_channels_last_whatever_the_process_says(backbone, channels_first):
    made = ran_tf.RegionAttentionNetwork(backbone, 5, size=(32, 32))
    assert keras.config.image_data_format() == "channels_first"
    formats = {layer.data_format for layer in made.backbone.layers if hasattr(layer, "data_format")}
    assert formats == {"channels_last"}
    inputs = {"image": np.zeros((1, 32, 32, 3), np.uint8), "boxes": ran_tf.fixed_boxes(6)[None]}
    assert made(inputs)["logits"].shape == (1, 5)


def test_a_preset_is_whole_whatever_the_process_says(channels_first):
    face = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype(np.uint8)
    (said,) = ran_tf.Predictor(PRESET, engine="keras")(face)
    keras.config.set_image_data_format("channels_last")
    (want,) = ran_tf.Predictor(PRESET, engine="keras")(face)
    np.testing.assert_allclose(said.probabilities, want.probabilities, atol=1e-6)


NEEDS_TENSORFLOW = {
    "Predictor": lambda folder: ran_tf.Predictor(PRESET, engine="keras"),
    "export": lambda folder: export.write_export(None, None, export_dir=folder),
    "train": lambda folder: TensorFlowEngine(TrainConfig(), TINY),
    "evaluate an export": lambda folder: runner.load(empty_export(folder)),
}


def empty_export(folder):
    (folder / "1").mkdir(exist_ok=True)
    (folder / "1" / export_folder.SAVED_MODEL).touch()
    return folder


@pytest.mark.parametrize("name", NEEDS_TENSORFLOW)
def test_another_backend_and_graphs_are_told(name, tmp_path, monkeypatch):
    with (
        tf.Graph().as_default(),
        pytest.raises(RuntimeError, match="Received: tf.executing_eagerly"),
    ):
        NEEDS_TENSORFLOW[name](tmp_path)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(RuntimeError, match="Received: backend 'jax', from .* KERAS_BACKEND"):
        NEEDS_TENSORFLOW[name](tmp_path)
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(RuntimeError, match="Received: backend 'jax', from .*keras.json"):
        NEEDS_TENSORFLOW[name](tmp_path)
