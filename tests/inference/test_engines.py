"""ONNX Runtime says what Keras says, without TensorFlow, and runs nothing that others wrote."""

import collections
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import ran_tf
from ran_tf.exports import export, portable
from ran_tf.inference import runner
from ran_tf.weights import preset_file, presets, records, sources
from tests.exports.test_export import random_faces
from tests.exports.test_serving_formats import make_card, make_model
from tests.inference.test_predictor import check_prediction

SHARED = "ran_faceres_shared_ferplus"


@pytest.fixture(scope="module")
def drawn_faces(synthetic_dir):
    import tensorflow_datasets as tfds

    examples = tfds.load("synthetic_faces", split="test[:6]", data_dir=synthetic_dir)
    return [example["image"] for example in examples.as_numpy_iterator()]


@pytest.fixture(scope="module")
def onnx_dir(tmp_path_factory):
    if portable.missing("onnx"):
        pytest.skip(f"ONNX needs {portable.missing('onnx')}")
    folder = tmp_path_factory.mktemp("onnx")
    export.write_export(make_model(), make_card(), export_dir=folder, format="onnx", check=False)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == SHARED else pytest.mark.large)
        for name in presets.known_presets()
    ],
)
def test_both_engines_say_the_same(name, drawn_faces):
    """Faces of any size, in colour; the region weights too."""
    onnx, keras = (ran_tf.Predictor(name, engine=engine) for engine in ("auto", "keras"))
    assert (onnx.engine, keras.engine) == ("onnx", "keras")
    assert onnx.card == keras.card
    faces = [*drawn_faces, random_faces(90, 70), random_faces(20, 31)]
    got, want = onnx(faces), keras(faces)
    assert np.ptp([prediction.probabilities for prediction in want], axis=0).max() > 0.1
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_neither_tensorflow_nor_keras_is_imported(tmp_path):
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'matplotlib'): sys.modules[name] = None\n"
        "import numpy as np, ran_tf\n"
        f"predictor = ran_tf.Predictor({SHARED!r})\n"
        "(answer,) = predictor([np.zeros((60, 50, 3), np.uint8)])\n"
        "print(predictor.engine, answer.label)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("onnx ")


def test_a_preset_of_a_packaged_design_needs_no_graph_of_its_own(tmp_path):
    """Other weights and labels, the same graph; of another design it is Keras'."""
    source = presets.find_preset(SHARED)
    card, arrays = presets.read_card(source), preset_file.read_stored(source)
    card = dataclasses.replace(card, labels=tuple("abcdefgh"), dataset="mine")
    arrays["classifier/bias"] = arrays["classifier/bias"] + np.float32([100] + [0] * 7)
    folder = tmp_path / "mine"
    folder.mkdir()
    path = folder / preset_file.WEIGHTS
    path.write_bytes(preset_file.pack(arrays, card=card.to_json()))
    predictor = ran_tf.Predictor(path)
    assert predictor.engine == "onnx"
    assert predictor([random_faces(48, 48)])[0].label == "a"
    # What lies beside weights of somebody else is not run.
    (folder / preset_file.GRAPH).write_bytes(b"no graph")
    assert ran_tf.Predictor(folder)([random_faces(48, 48)])[0].label == "a"
    other = dataclasses.replace(card, image_size=(40, 40))
    path.write_bytes(preset_file.pack(arrays, card=other.to_json()))
    assert runner.choose_engine("auto", sources.resolve(folder)) == "keras"
    with pytest.raises(ValueError, match=r"`engine` must be keras or auto for .*engine='onnx'"):
        ran_tf.Predictor(folder, engine="onnx")


def _without(arrays):
    return {name: a for name, a in arrays.items() if name != "classifier/bias"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "must fit the network that its card describes"),
        (lambda a: a | {"more": np.zeros(3, np.float32)}, "must fit the network"),
        (lambda a: a | {"classifier/bias": np.zeros(9, np.float32)}, "must fit the network"),
        (lambda a: a | {"classifier/bias": np.full(8, np.nan, np.float32)}, "must be finite"),
    ],
)
def test_weights_that_do_not_fit_are_one_error(tmp_path, change, message):
    source = presets.find_preset(SHARED)
    arrays, card = preset_file.read_stored(source), presets.read_card(source)
    path = tmp_path / preset_file.WEIGHTS
    path.write_bytes(preset_file.pack(change(arrays), card=card.to_json()))
    with pytest.raises(ValueError, match=message) as caught:
        ran_tf.Predictor(path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_onnx_predicts(onnx_dir, tmp_path):
    faces = random_faces(3, 32, 32)
    want = export.export_check.model_outputs(make_model(), make_card(), faces=faces)
    alone = tmp_path / "alone.onnx"
    shutil.copyfile(onnx_dir / "1" / "model.onnx", alone)
    for source in (onnx_dir, onnx_dir / "1", alone):
        predictor = ran_tf.Predictor(source, batch_size=2)
        assert predictor.engine == "onnx" and predictor.labels == make_card().labels
        assert sources.read_card(source) == predictor.card
        for i, prediction in enumerate(predictor(faces)):
            check_prediction(prediction, want, i)
    with pytest.raises(ValueError, match="`engine` must be onnx or auto for"):
        ran_tf.Predictor(onnx_dir, engine="keras")


def test_what_is_no_file_of_ours_is_refused(onnx_dir, tmp_path):
    onnx = pytest.importorskip("onnx")
    whole = (onnx_dir / "1" / "model.onnx").read_bytes()
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"ONNX Runtime must be able to load '.*damaged\.onnx'"):
        ran_tf.Predictor(damaged)
    model = onnx.load_from_string(whole)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match=r"puts a card into it. Received: '.*foreign\.onnx'"):
        ran_tf.Predictor(tmp_path / "foreign.onnx")


def test_a_run_has_keras_alone(tmp_path):
    records.save_best(tmp_path, model=make_model(), card=make_card(), metrics={"epoch": 1})
    assert runner.choose_engine("auto", sources.resolve(tmp_path)) == "keras"
    with pytest.raises(ValueError, match=r"files of ran_tf.launch.export.*engine='onnx'"):
        ran_tf.Predictor(tmp_path, engine="onnx")
    with pytest.raises(ValueError, match="`engine` must be one of"):
        ran_tf.Predictor(tmp_path, engine="torch")


def describe_graph(file: bytes) -> tuple:
    """Operators by kind, and the name and shape of each weight that is elsewhere."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(file).graph
    outside = onnx.TensorProto.EXTERNAL
    weights = {w.name: list(w.dims) for w in graph.initializer if w.data_location == outside}
    return collections.Counter(node.op_type for node in graph.node), weights


@pytest.mark.large
@pytest.mark.parametrize("name", presets.known_presets())
def test_packaged_graphs_are_what_is_written(name):
    from ran_tf.exports import preset_graph

    path = presets.find_preset(name)
    trained = presets.load_preset(path)
    classifier = portable.PortableClassifier(trained.model, trained.card)
    made = preset_graph.make_graph(classifier, weights=presets.stored_weights(trained.model))
    # The converter numbers what it names anew each time.
    now, packaged = describe_graph(made), describe_graph((path / preset_file.GRAPH).read_bytes())
    assert now == packaged
