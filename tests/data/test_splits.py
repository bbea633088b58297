"""Which faces a run may train on, choose on and test on, and which regions it can find."""

import dataclasses
import os
import re
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import ran_tf
from ran_tf import vocabulary
from ran_tf.config import DataConfig, ModelConfig, RegionConfig, TrainConfig
from ran_tf.data import damage, prepared, reader
from ran_tf.evaluation import split as evaluation_split
from ran_tf.inference import runner
from ran_tf.inference.classifier import Classifier
from ran_tf.launch import train as train_command
from ran_tf.training import loop, splits
from ran_tf.weights import records
from ran_tf.weights.card import ModelCard
from tests.exports.test_export import make_card
from tests.fixtures import tiny_backbone  # noqa: F401, registers it

LANDMARKS = RegionConfig(kind="landmarks", k=6)


@pytest.fixture(scope="module")
def plain_dir(tmp_path_factory):
    """A dataset of twelve faces without landmarks, whose training faces lie in three files."""
    folder = tmp_path_factory.mktemp("plain")
    draw = np.random.default_rng(0)
    for split, count in {"train": 12, "validation": 4, "test": 4}.items():
        for i in range(count):
            path = folder / "raw" / split / ("happy", "sad")[i % 2] / f"{split}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    builder = tfds.builder("folder_faces", data_dir=folder / "out")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder / "raw", num_shards=3)
    )
    return str(folder / "out")


@pytest.fixture
def config(plain_dir):
    return TrainConfig(
        data=DataConfig(name="folder_faces", data_dir=plain_dir, image_size=(8, 8)),
        model=ModelConfig(backbone="tiny", size=(32, 32)),
        epochs=1,
        batch_size=6,
    )


def change(config, *, keep="best", **data):
    return dataclasses.replace(config, keep=keep, data=dataclasses.replace(config.data, **data))


def one_device():
    return tf.distribute.MirroredStrategy(["CPU:0"])


def check(config):
    """What is said of a configuration; raises what it raises."""
    said = []
    splits.check(config, prepared.open_dataset(config.data), say=said.append)
    return said


def test_faces_in_two_splits_are_counted(config):
    dataset = prepared.open_dataset(config.data)
    assert len(dataset.builder.info.splits["train"].shard_lengths) == 3
    pairs = {
        ("train", "test"): 0,
        ("train", "train"): 12,
        ("train[:7]", "train[5:]"): 2,
        ("train[:5]", "train[5:]"): 0,
        ("train[2:11]+test", "test[:3]+train[10:]"): 4,
    }
    assert {pair: dataset.shared(*pair) for pair in pairs} == pairs
    with pytest.raises(ValueError, match="Received: split='tset'"):
        dataset.shared("train", "tset")


def test_an_epoch_is_not_chosen_on_faces_that_are_trained_on(config):
    with pytest.raises(ValueError, match=r"Received: 2 faces in both train_split='train\[:8\]'"):
        check(change(config, train_split="train[:8]", validation_split="train[6:]"))
    kept_last = change(config, train_split="train+validation", keep="last")
    assert check(kept_last) == [
        "4 validation faces are also training faces: the validation accuracy means nothing"
    ]


def test_a_choice_that_rests_on_few_faces_is_told(config, synthetic_dir):
    (line,) = check(config)
    assert "4 faces" in line and "25.0%" in line
    drawn = change(config, name="synthetic_faces", data_dir=synthetic_dir)
    for count, told in ((49, 1), (50, 0)):
        assert len(check(change(drawn, validation_split=f"validation[:{count}]"))) == told


def test_an_epoch_is_not_chosen_on_the_test_split(config):
    with pytest.raises(ValueError, match=r"Received: validation_split='test\[:3\]', 3 of whose"):
        check(change(config, validation_split="test[:3]"))
    assert check(change(config, validation_split="test", keep="last")) == []


def test_training_on_the_test_split_is_said_and_cannot_be_evaluated(
    config, plain_dir, parse, tmp_path
):
    assert check(change(config, train_split="train+test", keep="last")) == [
        "4 training faces are also test faces: evaluate this network on other faces"
    ]
    parse(
        f"--workdir={tmp_path / 'run'}",
        "--dataset=folder_faces",
        f"--data_dir={plain_dir}",
        "--train_split=train+test",
        "--evaluate",
    )
    with pytest.raises(
        ValueError, match=r"Received: train_split='train\+test', which shares 4 faces"
    ):
        train_command.main()
    assert not (tmp_path / "run").exists()


def test_the_last_epoch_needs_no_validation(config, tmp_path):
    with pytest.raises(ValueError, match="needs none. Received: data.validation_split=''"):
        change(config, validation_split="")
    last = change(config, validation_split="", keep="last")
    kept = loop.train(last, tmp_path, strategy=one_device()).metrics
    assert kept["epoch"] == 1 and "validation_accuracy" not in kept
    assert "validation_accuracy" not in (tmp_path / records.METRICS).read_text()
    assert records.load_workdir(tmp_path).card.labels == ("happy", "sad")


def test_landmark_regions_need_landmarks(config, synthetic_dir, parse, tmp_path):
    wanted = change(config, regions=LANDMARKS)
    message = "none of the 12 faces of 'train' in 'folder_faces/1.0.0' has any"
    with pytest.raises(ValueError, match=f"--landmarks=FILE.csv. Received: {message}"):
        check(wanted)
    # The whole face alone needs none.
    assert check(change(config, regions=RegionConfig(kind="landmarks", k=1))) == check(config)
    known = DataConfig(data_dir=synthetic_dir, regions=LANDMARKS, train_split="train[:9]")
    assert check(dataclasses.replace(config, data=known)) == []

    model = ran_tf.RegionAttentionNetwork("tiny", 2, size=(32, 32))
    card = ModelCard(
        dataset="folder_faces",
        labels=("happy", "sad"),
        image_size=(8, 8),
        regions=LANDMARKS,
        model=model.get_config(),
    )
    records.save_best(tmp_path, model=model, card=card, metrics={"epoch": 1})
    with pytest.raises(ValueError, match="none of the 4 faces of 'test'"):
        evaluation_split.open_faces(
            runner.load(tmp_path), "test", data_dir=config.data.data_dir, batch_size=4
        )


def test_classes_of_a_dataset_in_another_order_are_refused(synthetic_dir):
    """Or every answer would be counted for another class."""
    card = make_card(labels=tuple(reversed(make_card().labels)))
    classifier = Classifier(name="other", card=card, predict=lambda batch: {})
    with pytest.raises(ValueError, match=r"the labels of 'other'.*must be those of the dataset"):
        evaluation_split.open_faces(classifier, "test[:8]", data_dir=synthetic_dir)


def test_one_landmark_is_enough(synthetic_dir, monkeypatch):
    """A landmark that was not found is NaN, and its region masked."""
    parse = reader.parse

    def mostly_unknown(*arguments, **options):
        points = parse(*arguments, **options)["landmarks"]
        mask = np.full((len(vocabulary.LANDMARKS), 1), np.nan)
        mask[3] = 0
        return {"landmarks": points + tf.constant(mask, tf.float32)}

    dataset = prepared.open_dataset(DataConfig(data_dir=synthetic_dir))
    monkeypatch.setattr(reader, "parse", mostly_unknown)
    assert dataset.has_landmarks("validation")


def test_damage_is_named_where_landmarks_are_looked_for(synthetic_dir, tmp_path):
    shutil.copytree(synthetic_dir, tmp_path / "data")
    dataset = prepared.open_dataset(DataConfig(data_dir=str(tmp_path / "data")))
    (file,) = dataset.builder.info.splits["validation"].file_instructions
    os.truncate(file.filename, 99)
    with pytest.raises(damage.DamagedDatasetError, match=re.escape(str(file.filename))):
        dataset.has_landmarks("validation")


def test_landmarks_are_looked_for_in_the_test_split_before_training(plain_dir, parse, tmp_path):
    parse(
        f"--workdir={tmp_path / 'run'}",
        "--dataset=folder_faces",
        f"--data_dir={plain_dir}",
        "--regions=landmarks",
        "--num_regions=6",
        "--evaluate",
    )
    with pytest.raises(ValueError, match="none of the 4 faces of 'test'"):
        train_command.main()


def test_an_unknown_split_is_called_as_its_flag(config):
    for name in ("train_split", "validation_split"):
        with pytest.raises(ValueError, match=f"`{name}` must be one of.*Received: {name}='tset'"):
            check(change(config, **{name: "tset"}))


def test_an_export_of_landmark_regions_is_refused_before_training(synthetic_dir, parse, tmp_path):
    parse(
        f"--workdir={tmp_path / 'run'}",
        f"--data_dir={synthetic_dir}",
        "--regions=landmarks",
        "--num_regions=6",
        "--export",
    )
    with pytest.raises(ValueError, match="Received: --export --regions=landmarks"):
        train_command.main()
    assert not (tmp_path / "run").exists()
