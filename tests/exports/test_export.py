"""Exports agree with the model, load without Keras, and appear whole or not at all."""

import dataclasses
import functools
import json
import stat

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import ran_tf
from ran_tf.config import RegionConfig
from ran_tf.exports import check, export, signatures
from ran_tf.exports.signatures import SIGNATURES
from ran_tf.weights.card import ModelCard

_LABELS = ran_tf.LABELS["ferplus"]


def make_card(**changes) -> ModelCard:
    card = ModelCard(
        dataset="synthetic_faces",
        labels=_LABELS,
        image_size=(32, 32),
        regions=RegionConfig(kind="fixed", k=6),
        model={"backbone": "tiny", "num_classes": 8, "size": (32, 32)},
    )
    return dataclasses.replace(card, **changes)


@functools.cache
def make_model(dtype: str = "float32") -> ran_tf.RegionAttentionNetwork:
    """Random weights of which every one matters, with the batch statistics of noise."""
    keras.utils.set_random_seed(0)
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
    """As little of a network as an export can be made of: it looks at the mean colour."""

    def __init__(self):
        super().__init__()
        self.classifier = keras.layers.Dense(8)
        self.classifier.build((None, 3))

    def call(self, inputs, training=None):
        boxes = inputs["boxes"]
        regions = ran_tf.crop_regions(inputs["image"], boxes, size=(32, 32))
        return self.classify_regions(regions, boxes, training=training)

    def classify_regions(self, regions, boxes, training=None):
        colour = keras.ops.mean(regions[:, 0], axis=(1, 2)) / 255
        weights = keras.ops.ones_like(boxes[..., 0]) / boxes.shape[1]
        return {"logits": self.classifier(colour), "weights": weights}

    def get_config(self):
        return {"num_classes": 8, "size": (32, 32), "trunk": "full"}


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


def test_every_signature_agrees_with_the_model(small_export):
    model = make_model()
    signatures = small_export.loaded.signatures
    assert sorted(signatures) == ["images", "regions", "serving_default"]
    for batch in (3, 1):
        faces = random_faces(batch, 32, 32)
        boxes = ran_tf.fixed_boxes(6, variant="paper")
        expected = expected_outputs(model, faces, boxes)
        check_outputs(signatures["images"](images=tf.constant(faces)), expected)
        encoded = [tf.io.encode_png(face).numpy() for face in faces]
        answer = signatures["serving_default"](image_bytes=tf.constant(encoded))
        check_outputs(answer, expected)
        regions = ran_tf.crop_regions(faces, boxes, size=(32, 32))
        expected.pop("boxes")
        check_outputs(signatures["regions"](regions=tf.cast(regions, tf.float32)), expected)
        assert np.ptp(expected["weights"]) > 1e-3, "would hide an exchange of regions"


def test_a_shared_trunk_takes_the_whole_face_as_its_region():
    model = ran_tf.RegionAttentionNetwork(**make_card().model, trunk="shared", split="relu0")
    classifier = signatures.FaceClassifier(model, make_card())
    assert classifier.regions.input_signature[0].shape == (None, 1, 32, 32, 3)
    faces = random_faces(2, 32, 32)
    expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6))
    check_outputs(classifier.images(tf.constant(faces)), expected)
    expected.pop("boxes")
    check_outputs(classifier.regions(tf.constant(faces[:, None], tf.float32)), expected)


def test_a_process_without_keras_gave_the_same(small_export):
    assert small_export.difference < 1e-5
    assert small_export.path.name == "1"


def test_an_export_can_be_checked_again(small_export):
    model = make_model()
    model.card = make_card(colour="grey")
    with pytest.raises(ValueError, match="card differs: colour is 'rgb' there and 'grey' here"):
        export.check_export(small_export.path.parent, model=model)
    with pytest.raises(FileNotFoundError, match="must hold an export"):
        export.check_export(small_export.path / "assets")
    assert export.check_export(small_export.path).difference < 1e-4


def test_signatures_that_disagree_are_noticed(small_export, monkeypatch):
    model, card = make_model(), make_card()
    model.card = card
    answers = {}

    def answer(version_dir, *, inputs):
        outputs = check.model_outputs(model, card, faces=inputs["images"])
        answers.update({f"{s}/{n}": v.copy() for s in SIGNATURES for n, v in outputs.items()})
        answers["regions/probabilities"][1, 2] += 0.05
        return answers

    monkeypatch.setattr(check, "answers_without_keras", answer)
    with pytest.raises(RuntimeError, match=r"signatures of the export differ by 0\.05"):
        export.check_export(small_export.path)
    with pytest.raises(RuntimeError, match=r"differs from the model by 0\.05 \(allowed: 1\.0e-04"):
        export.check_export(small_export.path, model=model)


def test_warm_up_requests_are_those_of_tensorflow_serving(small_export):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = small_export.path / "assets.extra" / "tf_serving_warmup_requests"
    requests = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        arrays = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        requests[request.model_spec.signature_name] = arrays
    assert sorted(requests) == ["images", "regions", "serving_default"]
    signatures = small_export.loaded.signatures
    answers = {
        name: signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        for name, inputs in requests.items()
    }
    for name in ("images", "regions"):
        np.testing.assert_allclose(
            answers[name]["probabilities"], answers["serving_default"]["probabilities"], atol=1e-5
        )


def test_the_graph_holds_no_python_function_and_assets_are_complete(small_export):
    """And every function that it calls is in it, and weights are constants, stored once."""
    path = small_export.path
    graph = (path / "saved_model.pb").read_bytes()
    assert b"keras_metadata" not in graph
    saved = saved_model_pb2.SavedModel.FromString(graph)
    (meta,) = saved.meta_graphs
    library = meta.graph_def.library.function
    nodes = [*meta.graph_def.node, *(node for function in library for node in function.node_def)]
    ops = {node.op for node in nodes}
    functions = {function.signature.name for function in library}
    attributes = [value for node in nodes for value in node.attr.values()]
    # Of calls, and of both sides of conditions and loops.
    called = {value.func.name for value in attributes if value.func.name}
    called |= {function.name for value in attributes for function in value.list.func}
    assert called <= functions and any("case" in name.lower() for name in called), called
    assert not {op for op in ops if "Py" in op}
    assert not {node.op for f in library for node in f.node_def if "Var" in node.op}
    assert {"DecodeImage", "Conv2D"} <= ops
    stored = sum(len(n.attr["value"].tensor.tensor_content) for n in nodes if n.op == "Const")
    assert stored < 1.5 * sum(weight.numpy().nbytes for weight in make_model().weights)
    assert (path / "assets" / "labels.txt").read_text().split() == list(_LABELS)
    assert export.read_card(path) == ModelCard.from_json(make_card().to_json())
    assert json.loads((path / "assets" / "card.json").read_text())["labels"] == list(_LABELS)
    assert stat.S_IMODE(path.stat().st_mode) & 0o055 == 0o055, "a server is another user"


def test_label_indexes_the_labels_file():
    """A classifier that always says class 5 is read as the sixth line."""
    card, model = make_card(), LinearModel()
    model.classifier.kernel.assign(np.zeros((3, 8)))
    model.classifier.bias.assign(np.eye(8)[5])
    out = signatures.FaceClassifier(model, card).images(random_faces(2, 8, 8))
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
    classifier = signatures.FaceClassifier(model, make_card(regions=regions))
    out = classifier.images(images=tf.constant(faces))
    check_outputs(out, expected_outputs(model, faces, boxes))


def test_grey_cards_take_colour_out():
    card = make_card(colour="grey")
    classifier = signatures.FaceClassifier(LinearModel(), card)
    faces = random_faces(2, 32, 32)
    luma = np.round(faces @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    grey = np.repeat(luma[..., np.newaxis], 3, axis=-1)
    np.testing.assert_array_equal(signatures.prepare_faces(tf.constant(faces), card=card), grey)
    np.testing.assert_array_equal(signatures.prepare_faces(tf.constant(grey), card=card), grey)
    np.testing.assert_allclose(
        classifier.images(faces)["probabilities"], classifier.images(grey)["probabilities"]
    )


def test_bfloat16_models_give_float32():
    model, card, faces = make_model(dtype="mixed_bfloat16"), make_card(), random_faces(8, 32, 32)
    expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6))
    allowed = check.tolerance(model, card, faces=faces, outputs=expected)
    # As far as bfloat16 is from float32, which random weights make much of.
    assert 1e-3 < allowed < 0.25
    out = signatures.FaceClassifier(model, card).images(tf.constant(faces))
    check_outputs(out, expected, atol=allowed)


def test_an_export_may_compute_in_another_precision(tmp_path):
    """The weights stay, the kernels become bfloat16, and what comes out is float32."""
    model, faces = make_model(), random_faces(2, 32, 32)
    result = export.write_export(
        model, make_card(), export_dir=tmp_path, dtype="mixed_bfloat16", check=False
    )
    loaded = tf.saved_model.load(str(result.path))
    out = loaded.signatures["images"](images=tf.constant(faces))
    expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6))
    rounded = expected_outputs(make_model(dtype="mixed_bfloat16"), faces, ran_tf.fixed_boxes(6))
    allowed = 3 * check.largest_difference(rounded, expected)
    check_outputs(out, expected, atol=allowed)
    assert np.abs(out["weights"] - expected["weights"]).max() > 1e-5


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


def test_a_home_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "export" / "2").mkdir(parents=True)
    (tmp_path / "export" / "2" / "saved_model.pb").touch()
    assert export.find_version("~/export") == tmp_path / "export" / "2"


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

    def spoiled(version_dir, *, inputs):
        out = signatures.FaceClassifier(model, card).images(tf.constant(inputs["images"]))
        answers = {f"{s}/{name}": out[name].numpy() for s in SIGNATURES for name in out}
        answers["serving_default/weights"][0, 0] += 0.1
        return answers

    monkeypatch.setattr(check, "answers_without_keras", spoiled)
    with pytest.raises(RuntimeError, match=r"differs from the model by 0\.1"):
        export.write_export(model, card, export_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_models_that_cannot_be_exported(tmp_path):
    card, model = make_card(regions=RegionConfig(kind="landmarks", k=6)), LinearModel()
    with pytest.raises(
        ValueError, match="be evaluated, but not exported.*Received: regions='landmarks'"
    ):
        export.write_export(model, card, export_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="must name the 8 classes"):
        export.write_export(model, make_card(labels=_LABELS[:7]), export_dir=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        export.write_export(model, make_card(), export_dir=tmp_path / "file")
