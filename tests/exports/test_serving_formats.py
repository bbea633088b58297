"""ONNX and LiteRT files say what the model says, on faces, for any batch."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.exports import check, export, onnx_file, portable, quantised, signatures
from ran_tf.images.preparing import prepare_face
from ran_tf.weights import export_folder, presets
from ran_tf.weights.card import ModelCard, Quantised
from tests.exports.test_export import LinearModel, make_card, make_model
from tests.fixtures import real_data

FORMATS = ["onnx", "tflite"]


@pytest.fixture(scope="module")
def faces(request):
    """Faces of FERPlus where they are at hand, else drawn ones: u8[8, H, W, 3]."""
    try:
        folder = real_data.require("ferplus")
    except pytest.skip.Exception:
        import tensorflow_datasets as tfds

        prepared = request.getfixturevalue("synthetic_dir")
        examples = tfds.load("synthetic_faces", split="test[:8]", data_dir=prepared)
        return np.stack([example["image"] for example in examples.as_numpy_iterator()])
    paths = sorted((folder / "FER2013Test").glob("*.png"))[:8]
    return np.stack([tf.io.decode_png(path.read_bytes(), channels=3).numpy() for path in paths])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both formats as versions of one export, not checked yet."""
    path = tmp_path_factory.mktemp("formats")
    for version, name in enumerate(FORMATS, start=1):
        if not portable.missing(name):
            export.write_export(
                make_model(),
                make_card(),
                export_dir=path,
                version=version,
                format=name,
                check=False,
            )
    return path


def version(folder, name: str):
    if portable.missing(name):
        pytest.skip(f"{name} needs {portable.missing(name)}")
    return folder / str(FORMATS.index(name) + 1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_agree_with_the_model_on_faces(folder, faces, name):
    path, model, card = version(folder, name), make_model(), make_card()
    assert portable.compare_files(path, model=model, card=card, format=name, faces=faces) < 1e-4
    want = check.model_outputs(model, card, faces=faces)
    assert np.ptp(want["probabilities"]) > 1e-3, "equal outputs would hide a mistake"
    prepared = signatures.prepare_faces(tf.constant(faces), card=card)
    given = {
        "images": prepared.numpy(),
        "regions": ran_tf.crop_regions(prepared, ran_tf.fixed_boxes(6), size=(32, 32)).numpy(),
    }
    outputs = {"images": ["boxes", "label", "probabilities", "weights"]}
    outputs["regions"] = outputs["images"][1:]
    for signature, array in given.items():
        run = portable.load(path / portable.FILES[name][signature], signature=signature)
        for batch in (1, 3):
            answer = run(array[:batch])
            assert sorted(answer) == outputs[signature]
            np.testing.assert_array_equal(answer["label"], want["label"][:batch])
            np.testing.assert_allclose(answer["weights"], want["weights"][:batch], atol=1e-4)
            if "boxes" in answer:
                np.testing.assert_array_equal(answer["boxes"], want["boxes"][:batch])


@pytest.mark.parametrize("name", FORMATS)
def test_faces_of_all_sizes_are_read(folder, name):
    """Each as it is prepared here, in files that see its size for the first time."""
    run = portable.load(version(folder, name) / portable.FILES[name]["images"])
    for shape in ((97, 61), (20, 30), (1, 1), (7, 300), (32, 32)):
        faces = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
        size, grey = make_card().image_size, make_card().colour == "grey"
        prepared = np.stack([prepare_face(face, size=size, grey=grey) for face in faces])
        got, want = run(faces), run(prepared)
        # A grey level of a pixel, where a value lies half-way between two.
        np.testing.assert_allclose(got["probabilities"], want["probabilities"], atol=2e-3)


@pytest.mark.large
@pytest.mark.parametrize("preset", presets.known_presets())
@pytest.mark.parametrize("name", (*FORMATS, "saved_model"))
def test_a_packaged_network_is_itself_in_every_runtime(preset, name, faces, tmp_path):
    if name in FORMATS and portable.missing(name):
        pytest.skip(f"{name} needs {portable.missing(name)}")
    trained = presets.load_preset(presets.find_preset(preset))
    written = export.write_export(
        trained.model, trained.card, export_dir=tmp_path, format=name, check=name == "saved_model"
    )
    if name == "saved_model":
        assert written.difference < 1e-5
        return
    for some in (faces, check.example_faces()):
        difference = portable.compare_files(
            written.path, model=trained.model, card=trained.card, format=name, faces=some
        )
        assert difference < 1e-5


def test_notes_are_in_the_files(folder):
    onnx = pytest.importorskip("onnx")
    card = make_card()
    notes = {
        p.key: p.value for p in onnx.load(version(folder, "onnx") / "model.onnx").metadata_props
    }
    with zipfile.ZipFile(version(folder, "tflite") / "model.tflite") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == notes
    assert notes["labels.txt"].split() == list(card.labels)
    assert json.loads(notes["card.json"]) == json.loads(card.to_json())
    np.testing.assert_allclose(json.loads(notes["boxes.json"]), ran_tf.fixed_boxes(6))
    assert export.read_card(version(folder, "onnx")) == type(card).from_json(card.to_json())
    assert export.find_version(folder) is None, "not what a SavedModel is loaded from"


def test_what_is_refused(tmp_path, monkeypatch):
    model, card = LinearModel(), make_card()
    with pytest.raises(ValueError, match="only float32. Received: dtype='mixed_bfloat16'"):
        export.write_export(
            model, card, export_dir=tmp_path / "a", format="tflite", dtype="mixed_bfloat16"
        )
    with pytest.raises(ValueError, match="`format` must be one of"):
        export.write_export(model, card, export_dir=tmp_path / "a", format="pb")
    monkeypatch.setitem(portable.NEEDS, "onnx", ("no_such_package",))
    with pytest.raises(ValueError, match=r"needs \['no_such_package'\]: pip install"):
        export.write_export(model, card, export_dir=tmp_path / "a", format="onnx")
    assert not (tmp_path / "a").exists()


def test_a_file_that_disagrees_is_not_published(tmp_path, monkeypatch):
    if portable.missing("onnx"):
        pytest.skip(f"onnx needs {portable.missing('onnx')}")

    def write(classifier, path, *, signature):
        path.write_bytes(b"")

    def load(path, *, signature):
        return lambda array: {"probabilities": np.zeros((len(array), 8), np.float32)}

    monkeypatch.setattr(onnx_file, "write", write)
    monkeypatch.setattr(portable, "load", load)
    with pytest.raises(RuntimeError, match="differs from the model by"):
        export.write_export(make_model(), make_card(), export_dir=tmp_path, format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "atol"), [("float16", 2e-3), ("int8", 5e-2)])
def test_a_quantised_file_says_nearly_the_same(folder, faces, kind, atol, tmp_path):
    model, card = make_model(), make_card()
    whole = version(folder, "onnx") / "model.onnx"
    calibration = faces if kind == "int8" else None
    written = export.write_export(
        model, card, export_dir=tmp_path, format="onnx", quantize=kind, calibration=calibration
    )
    cost = written.quantised
    assert (cost is not None) == (kind == "int8")
    predictor = ran_tf.Predictor(tmp_path)
    assert predictor.labels == card.labels and predictor.engine == "onnx"
    # In the file and beside it.
    assert predictor.card.quantised == cost == export_folder.read_card(written.path).quantised
    want = portable.load(whole)(faces)
    got = np.stack([prediction.probabilities for prediction in predictor(list(faces))])
    np.testing.assert_allclose(got, want["probabilities"], atol=atol)
    assert np.abs(got - want["probabilities"]).max() > 1e-7, "nothing was rounded"


def test_the_cost_of_quantisation_is_counted_face_by_face():
    before, after = np.array([0, 1, 2, 3, 3, 1, 0, 0]), np.array([0, 1, 2, 3, 3, 1, 0, 1])
    labels = np.array([0, 1, 2, 0, 3, 0, 0, 1])
    faces = quantised.Faces("validation", np.zeros((8, 4, 4, 3), np.uint8), labels)
    cost = quantised.compare_classes(before, after, kind="int8", faces=faces)
    assert cost == Quantised(
        "int8", "validation", 8, 1, right_before=5, right_after=6, lost=0, won=1
    )
    assert "1 of 8 faces of validation" in cost.describe()
    card = dataclasses.replace(make_card(), quantised=cost)
    assert ModelCard.from_json(card.to_json()).quantised == cost
    unknown = dataclasses.replace(faces, labels=None)
    assert quantised.compare_classes(before, after, kind="int8", faces=unknown).won is None
    with pytest.raises(RuntimeError, match="changes the class of 50% of the faces"):
        quantised.compare_classes(before, before + [0, 1] * 4, kind="int8", faces=faces)


@pytest.mark.parametrize(
    ("field", "value"),
    [("faces", 0), ("changed", 9), ("kind", "int4"), ("data", "a\nb"), ("won", -1)],
)
def test_a_card_with_strange_costs_is_refused(field, value):
    said = {"kind": "int8", "data": "train", "faces": 8, "changed": 1, field: value}
    text = json.dumps(json.loads(make_card().to_json()) | {"quantised": said})
    with pytest.raises(ValueError, match=f"must be a model card.*{field}"):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "saved_model", "quantize": "float16"}, "`quantize` must be absent with"),
        ({"format": "onnx", "quantize": "int8"}, "`calibration` must be a folder of faces"),
        ({"format": "onnx", "calibration": "train"}, "`calibration` must be.*absent otherwise"),
        ({"format": "onnx", "compare": "test"}, "`compare` must be absent without quantize"),
        ({"format": "onnx", "quantize": "int4"}, "`quantize` must be one of"),
    ],
)
def test_quantisation_that_cannot_be_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.write_export(None, None, export_dir=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
