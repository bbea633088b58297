"""The notebook that a user of the library writes: data, network, fit, report, preset, export."""

import json
import pathlib

import keras
import numpy as np
import pytest
from matplotlib import figure
from PIL import Image

import ran_tf
from tests.fixtures.commands import run_python

SMALL = {"backbone": "tiny", "num_classes": 8, "size": (32, 32)}


@pytest.fixture(scope="module")
def data(synthetic_dir):
    return ran_tf.load_dataset(
        "synthetic_faces",
        data_dir=synthetic_dir,
        image_size=48,
        regions="fixed",
        num_regions=6,
        batch_size=32,
        train_split="train[:64]",
        validation_split="validation[:32]",
        test_split="test[:64]",
    )


@pytest.fixture(scope="module")
def model(data):
    keras.utils.set_random_seed(0)
    model = ran_tf.RegionAttentionNetwork(**SMALL)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3), metrics=["accuracy"])
    # Keras 3.15 warns of every tf.data without `shuffle=False`.
    model.fit(data.train, validation_data=data.validation, epochs=1, verbose=0, shuffle=False)
    return model


@pytest.fixture(scope="module")
def report(model, data):
    return ran_tf.evaluate(model, data.test)


@pytest.fixture(scope="module")
def mine(model, data, report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "mine"
    model.save_to_preset(folder, data=data, report=report, measure=data.validation)
    return folder


def test_a_report_counts_what_keras_counts(model, data, report):
    said = model.evaluate(data.test, return_dict=True, verbose=0)
    whole = report.subsets["all"]
    assert whole.count == whole.confusion.sum() == 64
    name = next(name for name in said if name.endswith("accuracy"))
    assert whole.accuracy == pytest.approx(said[name])
    assert whole.accuracy == np.trace(whole.confusion) / 64
    low, high = whole.accuracy_ci95
    assert low <= whole.accuracy <= high
    covered = sum(int((x["occlusion"] != 0).sum()) for x, _ in data.test.as_numpy_iterator())
    assert report.subsets["occlusion"].count == covered
    assert report.labels == data.labels == ran_tf.LABELS["synthetic_faces"]
    assert report.numbers["dataset"] == data.name and report.numbers["split"] == "test[:64]"


def test_a_report_is_a_table_and_figures(report):
    for text in (repr(report), report._repr_mimebundle_((), ())["text/html"]):
        assert "occlusion" in text and "test[:64]" in text
        assert f"{100 * report.subsets['all'].accuracy:.2f}" in text
    for name in ("confusion", "region_weights", "attention"):
        assert isinstance(report.plot(name), figure.Figure)
    assert isinstance(report.plot("confusion", subset="occlusion"), figure.Figure)
    for wrong in ("weights", "disagreements"):
        with pytest.raises(ValueError, match=f"confusion_all.*Received: name='{wrong}'"):
            report.plot(wrong)


def test_two_reports_are_compared_face_by_face(model, data, report, tmp_path):
    keras.utils.set_random_seed(1)
    another = ran_tf.RegionAttentionNetwork(**SMALL)
    other = ran_tf.evaluate(another, data.test)
    both = other.compare(report)
    gap = both.differences["all"]
    assert gap.accuracy == pytest.approx(
        other.subsets["all"].accuracy - report.subsets["all"].accuracy
    )
    right = [r.model.predictions.predicted == r.model.predictions.label for r in (other, report)]
    assert gap.only_model_right == (right[0] & ~right[1]).sum()
    assert report.differences is None and "against the baseline" in repr(both)
    assert isinstance(both.plot("disagreements"), figure.Figure)
    both.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"report.json", "report.md", "confusion_all.png", "disagreements.png"} <= names
    once = ran_tf.evaluate(another, data.test, baseline=model)
    assert once.numbers["differences"] == both.numbers["differences"]


def test_a_preset_of_ones_own_says_what_the_network_says(mine, data, tmp_path):
    text = (mine / "README.md").read_text()
    assert "of 32 faces of `validation[:32]`" in text and "| all | 64 |" in text
    card = ran_tf.from_preset(mine).card
    assert (card.labels, card.image_size, card.regions) == (
        data.labels,
        (48, 48),
        data.config.regions,
    )
    assert (card.colour, card.dataset) == ("rgb", "synthetic_faces")
    x, _ = next(data.test.as_numpy_iterator())
    Image.fromarray(x["image"][0]).save(tmp_path / "face.png")
    (prediction,) = ran_tf.Predictor(mine)([str(tmp_path / "face.png")])
    again = ran_tf.from_preset(mine)
    faces = {name: x[name][:1] for name in ("image", "boxes", "mask")}
    odds = keras.ops.softmax(again(faces)["logits"])
    np.testing.assert_allclose(prediction.probabilities, odds[0], atol=1e-4)
    with pytest.raises(FileExistsError, match="overwrite"):
        again.save_to_preset(mine)


def test_every_kind_of_model_is_evaluated_alike(mine, model, data, report, tmp_path):
    ran_tf.export(model, tmp_path / "export", data=data, check=False)
    found = {
        "preset": ran_tf.evaluate(mine, data.test),
        "predictor": ran_tf.evaluate(ran_tf.Predictor(mine), data.test),
        "export": ran_tf.evaluate(tmp_path / "export", data.test),
        "batches": ran_tf.evaluate(model, list(data.test.as_numpy_iterator())),
    }
    for kind, other in found.items():
        a, b = (r.model.predictions for r in (report, other))
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=0.01, err_msg=kind)
        assert other.subsets["occlusion"].count == report.subsets["occlusion"].count


def test_other_classes_keep_what_was_learnt_of_the_same_names(mine, data):
    old = ran_tf.from_preset(mine)
    labels = ("winking", "fear", "neutral")
    new = ran_tf.RegionAttentionNetwork.from_preset(mine, labels=labels)
    assert new.card.labels == labels and new.arguments["num_classes"] == 3
    columns = [data.labels.index(name) for name in labels[1:]]
    for ours, theirs in zip(new.classifier.weights, old.classifier.weights, strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        np.testing.assert_array_equal(ours[..., 1:], theirs[..., columns])
    first = new.classifier.kernel[:, 0]
    assert not any(np.allclose(first, column) for column in np.asarray(old.classifier.kernel).T)
    conv = new.backbone.get_layer("conv0").kernel
    np.testing.assert_array_equal(conv, old.backbone.get_layer("conv0").kernel)
    # Without names, only as many classes are the same ones.
    same = ran_tf.RegionAttentionNetwork.from_preset(mine, num_classes=8)
    np.testing.assert_array_equal(same.classifier.kernel, old.classifier.kernel)
    assert same.card.labels == data.labels
    assert ran_tf.RegionAttentionNetwork.from_preset(mine, num_classes=3).card is None
    with pytest.raises(ValueError, match="num_classes"):
        ran_tf.from_preset(mine, num_classes=4, labels=labels)


def test_classes_that_are_not_the_datas_are_refused(mine, data):
    other = ran_tf.from_preset(mine, labels=data.labels[::-1])
    for use in (
        lambda: ran_tf.evaluate(other, data.test),
        lambda: ran_tf.export(other, "nowhere", data=data),
        lambda: ran_tf.evaluate(ran_tf.RegionAttentionNetwork("tiny", num_classes=7), data.test),
    ):
        with pytest.raises(ValueError, match=r"classes of the network.*labels=data\.labels"):
            use()
    with pytest.raises(ValueError, match="no card"):
        ran_tf.RegionAttentionNetwork(**SMALL).save_to_preset("nowhere")


@pytest.mark.parametrize(
    "wrong", [None, 3, [], [1], [({"image": 1}, 2)], [(np.zeros(3), 2)], iter([])]
)
def test_what_is_no_data_is_refused(model, wrong):
    with pytest.raises(ValueError, match="`data` must be"):
        ran_tf.evaluate(model, wrong)


def test_batches_of_a_users_own_need_neither_card_nor_mask():
    """Whose labels nobody knows, and which say nothing of occlusion."""
    keras.utils.set_random_seed(0)
    network = ran_tf.RegionAttentionNetwork("tiny", num_classes=3, size=(32, 32))
    x = {
        "image": np.zeros((5, 48, 48, 3), np.uint8),
        "boxes": np.stack([ran_tf.fixed_boxes(6)] * 5),
    }
    label = int(np.argmax(network(x)["logits"][0]))
    report = ran_tf.evaluate(network, [(x, np.full(5, label)), (x, np.full(5, (label + 1) % 3))])
    assert report.labels == ("0", "1", "2")
    assert (report.subsets["all"].count, report.subsets["all"].accuracy) == (10, 0.5)
    assert report.subsets["all"].confusion[label, label] == 5
    assert report.subsets["occlusion"].accuracy is None


def test_a_network_is_traced_once_and_evaluated_as_it_is_then():
    network, traced = ran_tf.RegionAttentionNetwork("tiny", num_classes=3, size=(32, 32)), []
    call = network.call
    network.call = lambda *args, **options: traced.append(1) or call(*args, **options)
    x = {"image": np.zeros((2, 48, 48, 3), np.uint8), "boxes": np.float32([[[0, 0, 1, 1]]] * 2)}

    def nll(index):
        network.classifier.set_weights([np.zeros((32, 3)), 3 * np.eye(3)[index]])
        report = ran_tf.evaluate(network, [(x, np.zeros(2, int))])
        return report.subsets["all"].nll

    right, wrong = nll(0), nll(1)
    assert wrong - right == pytest.approx(3.0, abs=1e-5)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    assert len(traced) == 1 or not on_tensorflow
    network.classifier = keras.layers.Dense(3)
    network.classifier.build((None, 32))
    assert nll(2) == pytest.approx(wrong, abs=1e-5) and (len(traced) == 2 or not on_tensorflow)


def test_what_ships_is_listed():
    listed = ran_tf.presets()
    folder = pathlib.Path(ran_tf.__file__).parent / "presets"
    assert set(listed) == {path.parent.name for path in folder.glob("*/*.safetensors")}
    assert all("\n" not in line and "8 classes" in line for line in listed.values())


ON_JAX = """
import sys
import keras, ran_tf
from tests.fixtures import tiny_backbone
data = ran_tf.load_dataset(
    "synthetic_faces", data_dir=sys.argv[1], image_size=48, batch_size=32,
    train_split="train[:64]", validation_split="validation[:32]", test_split="test[:64]",
)
assert keras.backend.backend() == "jax"
model = ran_tf.RegionAttentionNetwork.from_preset(sys.argv[2], labels=data.labels)
model.compile(optimizer=keras.optimizers.AdamW(1e-3), metrics=["accuracy"])
model.fit(data.train, validation_data=data.validation, epochs=1, verbose=0, shuffle=False)
report = ran_tf.evaluate(model, data.test, flip_average=True)
report.save("report")
model.save_to_preset("mine", data=data, report=report, measure=data.test)
again = ran_tf.evaluate("mine", data.test, flip_average=True)
assert abs(again.subsets["all"].accuracy - report.subsets["all"].accuracy) < 0.05
for use in (lambda: ran_tf.export(model, "export", data=data), lambda: ran_tf.Predictor("mine")):
    try:
        use()
        raise SystemExit("must run on TensorFlow alone")
    except RuntimeError as error:
        assert "TensorFlow" in str(error)
"""


@pytest.mark.large
def test_the_notebook_on_jax(mine, data, tmp_path):
    """What is served needs TensorFlow: it takes what JAX has saved."""
    run_python("-c", ON_JAX, data.config.data_dir, mine, cwd=tmp_path, KERAS_BACKEND="jax")
    said = json.loads((tmp_path / "report" / "report.json").read_text())
    here = ran_tf.evaluate(tmp_path / "mine", data.test, flip_average=True)
    assert here.subsets["all"].nll == pytest.approx(said["subsets"]["all"]["nll"], abs=0.02)
    assert "Rounding changed" in (tmp_path / "mine" / "README.md").read_text()
    assert ran_tf.Predictor(tmp_path / "mine").labels == data.labels
