"""Exports agree with the model, load without Keras, and appear whole or not at all."""

import dataclasses
import functools
import json
import stat

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import export, freeze
from ran_tf.config import ModelCard, RegionConfig
from ran_tf.models.norm import BatchNorm

_LABELS = ran_tf.LABELS["ferplus"]


def make_card(**changes) -> ModelCard:
    card = ModelCard(
        dataset="ferplus",
        labels=_LABELS,
        image_size=(32, 32),
        regions=RegionConfig(kind="fixed", k=6),
        model={"backbone": "mobilenet_v1", "num_classes": 8, "size": (32, 32)},
    )
    return dataclasses.replace(card, **changes)


@functools.cache
def make_model(dtype: str = "float32") -> ran_tf.RegionAttentionNetwork:
    """Random weights of which every one matters, with the batch statistics of noise."""
    model = ran_tf.RegionAttentionNetwork(**make_card().model, dtype=dtype)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in ("gamma", "beta"):
            weight.assign(draw.uniform(0.5, 1.0, shape))
        elif shape[-1] == 1 and len(shape) == 2:  # attention
            weight.assign(draw.normal(0, 3.0 / np.sqrt(shape[0]), shape))
    for layer in model.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    boxes = np.repeat(ran_tf.fixed_boxes(6)[None], 4, axis=0)
    model({"image": random_faces(4, 32, 32), "boxes": boxes}, training=True)
    return model


class LinearModel(keras.Model):
    """As little of a network as an export can be made of."""

    def __init__(self):
        super().__init__()
        self.classifier = keras.layers.Dense(8)
        self.classifier.build((None, 3))

    def call(self, inputs, training=None):
        colour = keras.ops.mean(keras.ops.cast(inputs["image"], "float32"), axis=(1, 2)) / 255
        boxes = inputs["boxes"]
        weights = keras.ops.ones_like(boxes[..., 0]) / boxes.shape[1]
        return {"logits": self.classifier(colour), "weights": weights}

    def get_config(self):
        return {"num_classes": 8}


def expected_outputs(model, faces: np.ndarray, boxes: np.ndarray) -> dict:
    """The outputs for faces that have the model's size already, without the export's code."""
    tiled = np.repeat(boxes[None], len(faces), axis=0)
    out = model({"image": faces, "boxes": tiled}, training=False)
    logits = np.asarray(out["logits"], np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return {
        "probabilities": powers / powers.sum(-1, keepdims=True),
        "label": logits.argmax(-1),
        "weights": np.asarray(out["weights"]),
        "boxes": tiled,
    }


def random_faces(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def check_outputs(actual: dict, expected: dict, atol: float = 1e-5) -> None:
    assert sorted(actual) == sorted(expected)
    for name, value in expected.items():
        array = actual[name].numpy()
        assert array.dtype == (np.int64 if name == "label" else np.float32)
        np.testing.assert_allclose(array, value, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    card, model = make_card(), make_model()
    result = export.write_export(model, card, export_dir=tmp_path_factory.mktemp("export"))
    loaded = tf.saved_model.load(str(result.path))
    return {"card": card, "result": result, "loaded": loaded}


def test_both_signatures_agree_with_the_model(written):
    model = make_model()
    faces = random_faces(3, 32, 32)
    expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6, variant="paper"))
    signatures = written["loaded"].signatures
    check_outputs(signatures["images"](images=tf.constant(faces)), expected)
    encoded = tf.constant([tf.io.encode_png(face).numpy() for face in faces])
    check_outputs(signatures["serving_default"](image_bytes=encoded), expected)
    assert np.ptp(expected["weights"]) > 1e-3, "equal weights would hide an exchange of regions"


def test_a_process_without_keras_gave_the_same(written):
    assert written["result"].difference < 1e-5
    assert written["result"].path.name == "1"


def test_bytes_of_different_sizes_and_formats(written):
    """Each is resized like one face of `images`; grey, alpha and 16 bits are understood."""
    call = written["loaded"].signatures["images"]
    colour, grey = random_faces(41, 57), random_faces(20, 31)[..., :1]

    def encode(ending, image):
        return cv2.imencode(ending, image[..., ::-1])[1].tobytes()

    jpeg = tf.io.encode_jpeg(random_faces(64, 48, seed=1)).numpy()
    opaque = np.concatenate([colour, np.full((41, 57, 1), 128, np.uint8)], axis=-1)
    cases = {
        "png": (encode(".png", colour), colour),
        "bmp": (encode(".bmp", colour), colour),
        "jpeg": (jpeg, tf.io.decode_jpeg(jpeg).numpy()),
        "grey png": (encode(".png", grey), np.repeat(grey, 3, axis=-1)),
        "grey bmp": (encode(".bmp", grey), np.repeat(grey, 3, axis=-1)),
        "grey jpeg": (
            tf.io.encode_jpeg(np.full((9, 9, 1), 77, np.uint8)).numpy(),
            np.full((9, 9, 3), 77, np.uint8),
        ),
        "rgba png": (tf.io.encode_png(opaque).numpy(), colour),
        "16 bit png": (tf.io.encode_png(colour.astype(np.uint16) * 257).numpy(), colour),
        "one pixel": (encode(".png", colour[:1, :1]), colour[:1, :1]),
    }
    out = written["loaded"].signatures["serving_default"](
        image_bytes=tf.constant([data for data, _ in cases.values()])
    )
    for i, (name, (_, face)) in enumerate(cases.items()):
        alone = call(images=tf.constant(face[np.newaxis]))
        np.testing.assert_allclose(
            out["probabilities"][i], alone["probabilities"][0], atol=1e-5, err_msg=name
        )


def test_first_frame_of_an_animated_gif(written):
    # Two frames of one pixel each, black and then white.
    palette = bytes([0, 0, 0, 255, 255, 255])
    frame = b"\x2c" + b"\0\0\0\0\1\0\1\0\0" + b"\2\2"
    gif = b"GIF89a\1\0\1\0\x80\0\0" + palette
    gif += frame + b"\x44\1\0" + frame + b"\x4c\1\0" + b"\x3b"
    out = written["loaded"].signatures["serving_default"](image_bytes=tf.constant([gif]))
    black = written["loaded"].signatures["images"](images=tf.zeros([1, 1, 1, 3], tf.uint8))
    np.testing.assert_allclose(out["probabilities"], black["probabilities"], atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image_fail_with_a_message(written, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        written["loaded"].signatures["serving_default"](image_bytes=tf.constant([data]))


def test_the_graph_holds_no_python_function_and_assets_are_complete(written):
    path = written["result"].path
    graph = (path / "saved_model.pb").read_bytes()
    assert b"PyFunc" not in graph
    assert b"keras_metadata" not in graph
    assert (path / "assets" / "labels.txt").read_text().split() == list(_LABELS)
    assert export.read_card(path) == ModelCard.from_json(written["card"].to_json())
    assert json.loads((path / "assets" / "card.json").read_text())["labels"] == list(_LABELS)
    assert stat.S_IMODE(path.stat().st_mode) & 0o055 == 0o055, "a server is another user"


def test_label_indexes_the_labels_file(written):
    """A classifier that always says class 5 is read as the sixth line."""
    card, model = written["card"], LinearModel()
    model.classifier.kernel.assign(np.zeros((3, 8)))
    model.classifier.bias.assign(np.eye(8)[5])
    out = export.FaceClassifier(model, card).images(random_faces(2, 8, 8))
    assert out["label"].numpy().tolist() == [5, 5]
    assert card.labels[5] == "disgust"
    np.testing.assert_allclose(out["probabilities"].numpy().sum(-1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("regions", "boxes"),
    [
        (RegionConfig(k=1), ran_tf.fixed_boxes(1)),
        (RegionConfig(k=8, variant="released"), ran_tf.fixed_boxes(8, variant="released")),
        (RegionConfig(kind="random", k=4), ran_tf.random_boxes(4, seed=0)),
        (RegionConfig(kind="landmarks", k=1), ran_tf.fixed_boxes(1)),
    ],
)
def test_regions_of_the_card(regions, boxes):
    model, faces = make_model(), random_faces(2, 32, 32)
    classifier = export.FaceClassifier(model, make_card(regions=regions))
    out = classifier.images(images=tf.constant(faces))
    check_outputs(out, expected_outputs(model, faces, boxes))


def test_grey_cards_take_colour_out():
    card = make_card(colour="grey")
    classifier = export.FaceClassifier(LinearModel(), card)
    faces = random_faces(2, 32, 32)
    luma = np.round(faces @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    grey = np.repeat(luma[..., np.newaxis], 3, axis=-1)
    np.testing.assert_array_equal(export.prepare_faces(tf.constant(faces), card=card), grey)
    np.testing.assert_array_equal(export.prepare_faces(tf.constant(grey), card=card), grey)
    np.testing.assert_allclose(
        classifier.images(faces)["probabilities"], classifier.images(grey)["probabilities"]
    )


def test_bfloat16_models_give_float32():
    model, faces = make_model(dtype="mixed_bfloat16"), random_faces(2, 32, 32)
    out = export.FaceClassifier(model, make_card()).images(tf.constant(faces))
    # Folded kernels are rounded anew: as far from the model as the model is from float32.
    check_outputs(out, expected_outputs(model, faces, ran_tf.fixed_boxes(6)), atol=5e-2)


def test_an_export_may_compute_in_another_precision(tmp_path):
    """The weights stay, the kernels become bfloat16, and what comes out is float32."""
    model, faces = make_model(), random_faces(2, 32, 32)
    result = export.write_export(
        model, make_card(), export_dir=tmp_path, dtype="mixed_bfloat16", check=False
    )
    loaded = tf.saved_model.load(str(result.path))
    out = loaded.signatures["images"](images=tf.constant(faces))
    expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6))
    check_outputs(out, expected, atol=0.1)
    assert np.abs(out["weights"] - expected["weights"]).max() > 1e-5


@pytest.mark.parametrize(
    ("backbone", "norms"), [("mobilenet_v1", 27), ("resnet18", 20), ("EfficientNetV2B0", None)]
)
def test_batch_norm_is_folded_and_weights_are_constants(backbone, norms):
    """The plain graph normalises, the exported one does not; both say the same."""
    keras.utils.set_random_seed(0)
    arguments = {**make_card().model, "backbone": backbone}
    model = ran_tf.RegionAttentionNetwork(**arguments)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            weight.assign(draw.uniform(0.5, 1.5, tuple(weight.shape)))
    card, faces = make_card(model=arguments), random_faces(2, 32, 32)
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    plain = tf.function(export._make_classify(model, card), input_signature=[spec])
    frozen = freeze.freeze(plain)
    assert not frozen.variables

    def count(function):
        return [n.op for n in function.graph.as_graph_def().node].count("FusedBatchNormV3")

    if norms is not None:
        assert (count(plain.get_concrete_function()), count(frozen)) == (norms, 0)
    got, want = frozen(tf.constant(faces)), plain(tf.constant(faces))
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-4, err_msg=name)


def test_a_convolution_that_others_read_is_not_folded():
    norm = BatchNorm()
    norm.build((None, 4, 4, 3))
    norm.gamma.assign([2.0, 3.0, 4.0])
    kernel = tf.Variable(tf.random.stateless_normal([3, 3, 3, 3], seed=[0, 0]))

    @tf.function(input_signature=[tf.TensorSpec([2, 4, 4, 3])])
    def twice(x):
        values = tf.nn.conv2d(x, kernel, 1, "SAME")
        return {"sum": norm(values, training=False) + values}

    x = tf.random.stateless_normal([2, 4, 4, 3], seed=[1, 0])
    np.testing.assert_allclose(freeze.freeze(twice)(x)["sum"], twice(x)["sum"], atol=1e-5)


def test_versions_are_never_overwritten(tmp_path):
    card, model = make_card(), LinearModel()
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").write_text("kept")

    def write(version=None):
        result = export.write_export(model, card, export_dir=tmp_path, version=version, check=False)
        return result.path.name

    assert (write(), write(3)) == ("8", "3")
    with pytest.raises(FileExistsError, match=r"known: \[3, 7, 8\].*version=7"):
        write(7)
    assert (tmp_path / "7" / "saved_model.pb").read_text() == "kept"
    assert export.find_version(tmp_path) == tmp_path / "8"
    with pytest.raises(ValueError, match="version=0"):
        write(0)


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    card, model = make_card(), LinearModel()
    save = tf.saved_model.save

    def full_disk(module, path, **arguments):
        save(module, path, **arguments)
        raise OSError("no space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        export.write_export(model, card, export_dir=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_that_disagrees_is_not_published(tmp_path, monkeypatch):
    card, model = make_card(), LinearModel()

    def spoiled(path, *, faces):
        out = export.FaceClassifier(model, card).images(tf.constant(faces))
        answers = {f"{s}/{name}": out[name].numpy() for s in export.SIGNATURES for name in out}
        answers["serving_default/weights"][0, 0] += 0.1
        return answers

    monkeypatch.setattr(export, "_answers_without_keras", spoiled)
    with pytest.raises(RuntimeError, match=r"differs from the model by 0\.1"):
        export.write_export(model, card, export_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_models_that_cannot_be_exported(tmp_path):
    card, model = make_card(regions=RegionConfig(kind="landmarks", k=6)), LinearModel()
    with pytest.raises(ValueError, match="landmark regions cannot be exported"):
        export.write_export(model, card, export_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="must name the 8 classes"):
        export.write_export(model, make_card(labels=_LABELS[:7]), export_dir=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        export.write_export(model, make_card(), export_dir=tmp_path / "file")
