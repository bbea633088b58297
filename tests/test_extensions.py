"""Each extension is one file of a user's, in `examples/`: from Python and from the command line."""

import importlib
import json
import pathlib

import cv2
import keras
import numpy as np
import pytest

import ran_tf
from ran_tf import registry
from ran_tf.faces import DetectorConfig, create_detector
from ran_tf.faces.folder import align_folder
from ran_tf.faces.worker import AlignConfig
from ran_tf.launch import predict
from ran_tf.models import objective
from ran_tf.regions import kinds
from ran_tf.training import optimizers
from ran_tf.weights import sources
from tests.fixtures.commands import run_python

EXAMPLES = sorted(pathlib.Path(__file__).parents[1].glob("examples/my_*.py"))
MODULES = [importlib.import_module(f"examples.{path.stem}") for path in EXAMPLES]
IMPORT = f"--import={','.join(module.__name__ for module in MODULES)}"
ARGUMENTS = {"backbone": "three_convolutions", "num_classes": 2, "size": (32, 32)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Where the dataset of one's own is prepared."""
    folder = tmp_path_factory.mktemp("data")
    said = ran_tf.prepare("my_faces", data_dir=str(folder))
    assert "train 64" in said and "margin 0.15" in said
    return str(folder)


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    """A run of everything of one's own at once, by the command."""
    folder = tmp_path_factory.mktemp("user")
    run_python(
        "-m",
        "ran_tf.launch.train",
        IMPORT,
        "--workdir=run",
        "--dataset=my_faces",
        f"--data_dir={data_dir}",
        "--image_size=32",
        "--regions=halves",
        "--num_regions=3",
        "--backbone=three_convolutions",
        "--region_size=32",
        "--attention=length",
        "--augmentations=grey:0.5",
        "--losses=entropy:0.1",
        "--optimizer=lion",
        "--learning_rate=0.003",
        "--ema=0",
        "--epochs=5",
        "--batch_size=8",
        "--export",
        cwd=folder,
    )
    return folder / "run"


def photo(*, happy):
    noise = np.random.default_rng(100 + happy).integers(0, 64, (32, 32, 3), np.uint8)
    return noise + np.uint8(150 * happy)


def test_a_run_of_ones_own_is_used_by_name(workdir):
    card = sources.read_card(str(workdir))
    assert card.labels == ("sad", "happy"), "the order of the dataset's ClassLabel"
    assert (card.crop_margin, card.crop_drop) == (0.15, 0.05), "the framing of its metadata"
    assert card.model["attention"] == "length" and card.regions.kind == "halves"
    assert "entropy" in (workdir / "metrics.csv").read_text().splitlines()[0]
    images = [photo(happy=happy) for happy in (0, 1)]
    answers = {
        source.name: ran_tf.Predictor(source)(images) for source in (workdir, workdir / "export")
    }
    for said in answers.values():
        assert [one.label for one in said] == ["sad", "happy"]
        np.testing.assert_allclose(said[0].boxes, [[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0.5, 1, 1]])
    for one, other in zip(*answers.values(), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)


def test_an_export_predicts_by_the_command(workdir, tmp_path, parse, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), photo(happy=1))
    flags = ("--detector=whole", "--align", "--json=-")
    parse(f"--model={workdir / 'export'}", *flags, command=predict)
    predict.main([str(tmp_path / "photo.png")])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["label"] == "happy" and len(row["weights"]) == 3


@pytest.mark.parametrize(
    ("registered", "setting", "name"),
    [
        (registry.ATTENTIONS, "attention", "length"),
        (registry.BACKBONES, "backbone", "three_convolutions"),
        (registry.REGIONS, "regions", "halves"),
    ],
)
@pytest.mark.parametrize("where", [".", "export"])
def test_a_card_whose_names_are_not_registered_says_what_to_import(
    workdir, where, registered, setting, name, monkeypatch
):
    monkeypatch.setattr(registered, "_theirs", {})
    if where == "export" and setting != "regions":
        assert ran_tf.Predictor(workdir / where).labels, "its graph has them"
        return
    with pytest.raises(registry.NotRegisteredError) as caught:
        ran_tf.Predictor(workdir / where)
    said = str(caught.value)
    assert said.startswith(f"`{setting}` must be ") and said.endswith(f"={name!r}")
    assert f"ran_tf.register_{registered.kind}" in said and "--import=MODULE" in said
    assert "card.json" in said


@pytest.mark.parametrize("relation", [True, False])
def test_an_attention_of_ones_own_weighs_regions(relation, tmp_path):
    keras.utils.set_random_seed(0)
    model = ran_tf.RegionAttentionNetwork(**ARGUMENTS, attention="length", relation=relation)
    rng = np.random.default_rng(0)
    inputs = {
        "image": rng.integers(0, 256, (2, 32, 32, 3)).astype(np.float32),
        "boxes": np.tile(ran_tf.fixed_boxes(6), (2, 1, 1)),
        "mask": np.array([[True] * 6, [True, True, False, True, False, True]]),
    }
    said = {name: np.asarray(value) for name, value in model(inputs).items()}
    features = np.asarray(model.region_features(inputs["image"], inputs["boxes"]), np.float64)
    mu = np.where(inputs["mask"], np.sqrt((features**2).mean(-1) + 1e-6), 0)
    anchor = np.einsum("bk,bkd->bd", mu / mu.sum(1, keepdims=True), features)
    nu = np.where(inputs["mask"], 1.0, 0.0)
    if relation:
        pairs = np.concatenate([features, np.broadcast_to(anchor[:, None], features.shape)], -1)
        nu = nu * np.sqrt((pairs**2).mean(-1) + 1e-6)
    np.testing.assert_allclose(said["mu"], mu, rtol=1e-4)
    np.testing.assert_allclose(said["nu"], nu, rtol=1e-4)
    np.testing.assert_allclose(said["weights"], mu * nu / (mu * nu).sum(1, keepdims=True), 1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(inputs)["logits"], said["logits"], atol=1e-5)


def test_an_attention_that_does_not_weigh_each_region_is_told(monkeypatch):
    monkeypatch.setattr(registry.ATTENTIONS, "_theirs", {})

    @ran_tf.register_attention("one")
    class One(keras.layers.Layer):
        def call(self, features, region_mask=None):
            return keras.ops.sum(features, axis=-1, keepdims=True)

    with pytest.raises(ValueError, match=r"weights \[b, k\].*'one'. Received: .*\(2, 3, 1\)"):
        ran_tf.RegionAttentionNetwork(**ARGUMENTS, attention="one")


def test_logarithms_of_an_attention_of_ones_own_are_taken_where_it_has_them(monkeypatch):
    monkeypatch.setattr(registry.ATTENTIONS, "_theirs", {})

    @ran_tf.register_attention("far")
    class Far(keras.layers.Layer):
        def call(self, features, region_mask=None):
            return keras.ops.exp(self.log_weights(features))

        def log_weights(self, features, region_mask=None):
            # Beyond float32 once the exponential is taken.
            return (
                -1000.0
                - keras.ops.arange(features.shape[1], dtype="float32")[None]
                + (0.0 * features[..., 0])
            )

    model = ran_tf.RegionAttentionNetwork(**ARGUMENTS, attention="far", relation=False)
    inputs = {"image": np.zeros((1, 32, 32, 3), np.float32), "boxes": ran_tf.fixed_boxes(6)[None]}
    want = np.exp(-np.arange(6)) / np.exp(-np.arange(6)).sum()
    np.testing.assert_allclose(np.asarray(model(inputs)["weights"])[0], want, rtol=1e-4)


def test_regions_of_ones_own():
    config = ran_tf.RegionConfig(kind="halves", k=3)
    assert kinds.region_names(config) == ["whole face", "left half", "right half"]
    boxes, mask = kinds.make_regions(config, np.zeros((2, 5, 2), np.float32), np.arange(2))
    assert boxes.shape == (2, 3, 4) and mask.all()
    with pytest.raises(ValueError, match=r"`boxes` must be f32\[b, 4, 4\].*'halves'"):
        kinds.serving_boxes(ran_tf.RegionConfig(kind="halves", k=4))


def test_an_augmentation_of_ones_own():
    config = ran_tf.AugmentConfig(
        flip=False, rotate=0.0, scale=0.0, shift=0.0, erase=0.0, light=0.0, augmentations=("grey",)
    )
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    shown = objective.prepare(
        {
            "image": image,
            "boxes": np.tile(ran_tf.fixed_boxes(1), (2, 1, 1)),
            "mask": np.ones((2, 1), bool),
            "key": np.arange(2, dtype=np.int32),
        },
        np.eye(2, dtype=np.float32),
        config=ran_tf.ObjectiveConfig(augment=config),
    )
    want = np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    np.testing.assert_allclose(shown["inputs"]["image"], want, atol=1e-3)


def test_a_loss_of_ones_own():
    outputs = {
        "logits": np.zeros((1, 2), np.float32),
        "mu": np.full((1, 2), 0.5, np.float32),
        "weights": np.float32([[0.25, 0.75]]),
    }
    config = ran_tf.ObjectiveConfig(losses=("entropy:2",))
    terms = objective.terms(outputs, np.eye(2, dtype=np.float32)[:1], None, config=config)
    want = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    np.testing.assert_allclose(terms["entropy"], [want], rtol=1e-4)


def test_an_optimizer_of_ones_own_moves_weights():
    config = ran_tf.OptimizerConfig(name="lion", learning_rate=0.01, weight_decay=0.0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    before = [np.array(w) for w in model.get_weights()]
    optimizer = optimizers.make_optimizer(config, model)
    assert isinstance(optimizer, keras.optimizers.Lion)
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((4, 3), np.float32), np.full((4, 1), 9, np.float32))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new - old, 0.01, rtol=1e-3)


def test_a_detector_of_ones_own_finds_faces_in_a_folder_too(tmp_path):
    config = DetectorConfig(name="whole", pad=0.25)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    ((face,),) = create_detector(config)([image])
    np.testing.assert_allclose(face.box, [0, 0, 39, 59])
    (tmp_path / "in").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), image)
    # Processes of their own know the detector too.
    found = align_folder(
        input_dir=tmp_path / "in",
        output_dir=tmp_path / "out",
        config=AlignConfig(detector=DetectorConfig(name="whole"), size=32),
        processes=2,
    )
    assert found.faces == 2 and cv2.imread(str(tmp_path / "out" / "1.png")).shape == (32, 32, 3)


def test_a_dataset_of_ones_own(data_dir, tmp_path):
    data = ran_tf.load_dataset("my_faces", data_dir=data_dir, image_size=32, batch_size=16)
    assert data.labels == ("sad", "happy")
    assert data.dataset.framing() == ran_tf.faces.framing.Framing(margin=0.15, drop=0.05)
    x, y = next(iter(data.test))
    bright = np.asarray(x["image"]).mean(axis=(1, 2, 3)) > 100
    np.testing.assert_array_equal(np.argmax(y, axis=-1), bright)
    with pytest.raises(FileNotFoundError, match=r"prepare --dataset=my_faces .*--import=examples"):
        ran_tf.load_dataset("my_faces", data_dir=str(tmp_path))
    for open_it in (ran_tf.load_dataset, ran_tf.prepare):
        with pytest.raises(ValueError, match="--import=MODULE.*Received: dataset='mine'"):
            open_it("mine", data_dir=str(tmp_path))
