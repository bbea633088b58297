"""A network of grey faces never sees colour, through whatever door a photo comes."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
import tfds_builders
from ran_tf import vocabulary
from ran_tf.config import DataConfig, ModelConfig, TrainConfig
from ran_tf.data import prepared
from ran_tf.data.prepare import prepare
from ran_tf.exports import export, portable, signatures
from ran_tf.inference import runner
from ran_tf.training import loop
from ran_tf.weights import records
from tests.exports.test_export import random_faces
from tests.fixtures import ferplus_files

FACES = random_faces(3, 70, 60)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ferplus")
    raw = ferplus_files.write_lists(ferplus_files.write_folders(folder / "raw"))
    prepare(dataset="ferplus", manual_dir=str(raw), data_dir=str(folder / "tfds"))
    return str(folder / "tfds")


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    """What a run on grey faces leaves."""
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        data=DataConfig(name="ferplus", data_dir=data_dir, image_size=(32, 32)),
        model=ModelConfig(backbone="tiny", size=(32, 32)),
        epochs=1,
        batch_size=2,
    )
    loop.train(config, folder, strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
    # Random weights of a classifier say nearly the same of everything.
    trained = records.load_workdir(folder)
    trained.model.classifier.kernel.assign(30 * trained.model.classifier.kernel)
    records.save_best(folder, model=trained.model, card=trained.card, metrics={"epoch": 1})
    return folder


@pytest.fixture(scope="module")
def said(workdir):
    return probabilities(workdir)


def probabilities(source) -> np.ndarray:
    return np.stack([p.probabilities for p in ran_tf.Predictor(source)(FACES)])


def test_a_run_notes_that_its_faces_are_grey(workdir, said):
    trained = records.load_workdir(workdir)
    noted = json.loads((workdir / "card.json").read_text())
    assert trained.card.colour == noted["colour"] == "grey"
    luma = np.round(FACES @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    grey = np.repeat(luma[..., None], 3, axis=-1)
    by_hand = ran_tf.Predictor(workdir)(grey)
    # A luma of .5 may be rounded otherwise here.
    np.testing.assert_allclose(said, np.stack([p.probabilities for p in by_hand]), atol=1e-4)
    coloured = signatures.FaceClassifier(
        trained.model, dataclasses.replace(trained.card, colour="rgb")
    )
    assert np.abs(coloured.images(FACES)["probabilities"] - said).max() > 1e-3


def test_an_older_run_is_read_rightly(workdir, said, tmp_path):
    shutil.copytree(workdir, tmp_path / "older")
    card = json.loads((workdir / "card.json").read_text())
    (tmp_path / "older" / "card.json").write_text(json.dumps({**card, "colour": "rgb"}))
    np.testing.assert_allclose(probabilities(tmp_path / "older"), said, atol=1e-6)


def test_evaluation_agrees(workdir, said):
    boxes = np.tile(ran_tf.fixed_boxes(6), (len(FACES), 1, 1))
    batch = {"image": FACES, "boxes": boxes, "mask": np.ones(boxes.shape[:2], bool)}
    answer = runner.load(workdir).predict(batch)
    np.testing.assert_allclose(answer["probabilities"], said, atol=1e-5)


def test_its_export_agrees(workdir, said, tmp_path):
    trained = records.load_workdir(workdir)
    written = export.write_export(trained.model, trained.card, export_dir=tmp_path, check=False)
    np.testing.assert_allclose(probabilities(tmp_path), said, atol=1e-5)
    loaded = tf.saved_model.load(str(written.path))
    encoded = [tf.io.encode_png(face).numpy() for face in FACES]
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(encoded))
    np.testing.assert_allclose(answer["probabilities"], said, atol=1e-4)


# A page of --format=web holds the file of onnx.
@pytest.mark.parametrize("format", [name for name in portable.FILES if name != "web"])
def test_its_files_for_other_runtimes_agree(workdir, said, tmp_path, format):
    if portable.missing(format):
        pytest.skip(f"{format} needs {portable.missing(format)}")
    trained = records.load_workdir(workdir)
    written = export.write_export(
        trained.model, trained.card, export_dir=tmp_path, format=format, check=False
    )
    answer = portable.load(written.path / portable.FILES[format]["images"])(FACES)
    # A grey level of a pixel, where a value lies half-way between two.
    np.testing.assert_allclose(answer["probabilities"], said, atol=2e-3)


def test_its_preset_agrees(workdir, said, data_dir, tmp_path):
    ran_tf.save_to_preset(workdir, tmp_path / "preset", measure="test", data_dir=data_dir)
    # Weights of float16.
    np.testing.assert_allclose(probabilities(tmp_path / "preset"), said, atol=5e-3)


def test_the_table_of_grey_datasets_is_that_of_the_builders(tmp_path):
    channels = {
        name: made(data_dir=tmp_path).info.features["image"].shape[-1]
        for name, made in tfds_builders.DATASETS.items()
    }
    assert {name for name, count in channels.items() if count == 1} == set(vocabulary.GREY)


@pytest.mark.parametrize(("last", "colour"), [((9, 9, 9), "grey"), ((9, 9, 12), "rgb")])
def test_grey_faces_stored_as_three_channels_are_found_out(tmp_path, last, colour):
    """As most copies of FER2013 in folders are; one coloured face makes a dataset coloured."""
    for label in ("angry", "happy"):
        folder = tmp_path / "raw" / "train" / label
        folder.mkdir(parents=True)
        for i in range(70):
            pixel = last if (label, i) == ("happy", 69) else (i, i, i)
            cv2.imwrite(str(folder / f"{i}.png"), np.full((9, 8, 3), pixel, np.uint8))
    prepare(
        dataset="folder_faces", manual_dir=str(tmp_path / "raw"), data_dir=str(tmp_path / "tfds")
    )
    data = DataConfig(name="folder_faces", data_dir=str(tmp_path / "tfds"))
    data = dataclasses.replace(data, train_split="train+validation")
    assert prepared.open_dataset(data).colour(data) == colour
