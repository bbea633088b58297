"""RAF-DB as it circulates: in class folders, joined by name, and what is said of its faults."""

import re
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf.data.prepare import prepare
from ran_tf.vocabulary import LABELS, OCCLUSIONS
from tests.fixtures import builds, raf_db_files
from tests.fixtures.raf_db_files import COPY_LABELS, write_image
from tfds_builders.raf_db import source

WORDS = ("Surprise", "fear", "disgust", "Happy", "sadness", "ANGRY", "neutral")


@pytest.fixture
def raw(tmp_path):
    raf_db_files.write_lists(tmp_path / "ran_lists" / "RAF_DB_dir")
    return raf_db_files.write_copy(tmp_path / "raw")


def rename_classes(raw, names):
    names = list(names)
    for split in ("train", "test"):
        for number, name in enumerate(names, start=1):
            (raw / "DATASET" / split / str(number)).rename(raw / "DATASET" / split / f"_{name}")
        for name in names:
            (raw / "DATASET" / split / f"_{name}").rename(raw / "DATASET" / split / name)


def read(raw):
    """Label, 1..7, and split by id."""
    found = source.read_source(raw, form="aligned")
    assert found.joins
    return {face.id: (face.label + 1, face.split) for face in found.faces}


EXPECTED = {name: (label, name.partition("_")[0]) for name, label in COPY_LABELS.items()}


def test_a_copy_is_built_and_joined_to_the_lists_by_name(tmp_path, raw, caplog):
    line = prepare(dataset="raf_db", manual_dir=str(raw), data_dir=str(tmp_path / "out"))
    assert "; from class folders 1 to 7 in DATASET/train, DATASET/test." in line
    assert "train 17, validation 1, test 11 faces; among them occlusion 2, pose_30 2" in line
    assert "published: train 12,271 (1290, 281" in caplog.text
    assert "a part of the dataset" in caplog.text
    faces = builds.examples(tfds.builder("raf_db", data_dir=tmp_path / "out"))
    assert {name: face["label"] + 1 for name, face in faces.items()} == COPY_LABELS
    assert [n for n, face in faces.items() if face["split"] == "validation"] == ["train_00010"]
    flags = {name: (f["occlusion"], f["pose_30"], f["pose_45"]) for name, f in faces.items()}
    lower, glasses = OCCLUSIONS.index("lower"), OCCLUSIONS.index("glasses")
    assert {name: flag for name, flag in flags.items() if any(flag)} == {
        "test_0001": (0, True, True),
        "test_0002": (glasses, True, False),
        "test_2464": (lower, False, False),
    }
    level = list(COPY_LABELS).index("test_0002")
    np.testing.assert_allclose(
        faces["test_0002"]["image"], np.full((100, 100, 3), (200, 10 * level, 20)), atol=4
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: None,
        lambda raw: rename_classes(raw, WORDS),
        lambda raw: rename_classes(raw, map(str, range(7))),
        lambda raw: [
            path.rename(path.with_name(path.name.replace("_aligned", "")))
            for path in raw.rglob("*.jpg")
        ],
        lambda raw: (raw / "DATASET" / "test").rename(raw / "DATASET" / "Val"),
        lambda raw: [(raw / "DATASET" / s).rename(raw / s) for s in ("train", "test")],
    ],
    ids=[
        "as it is",
        "words",
        "0 to 6",
        "no _aligned",
        "test called Val",
        "no DATASET",
    ],
)
def test_other_forms_give_the_same_faces(raw, change):
    change(raw)
    assert read(raw) == EXPECTED


def test_a_copy_without_splits_is_split_by_name(raw):
    for path in raw.rglob("test/*/*.jpg"):
        shutil.move(path, raw / "DATASET" / "train" / path.parent.name)
    shutil.rmtree(raw / "DATASET" / "test")
    for folder in (raw / "DATASET" / "train").iterdir():
        shutil.move(folder, raw / "DATASET")
    (raw / "DATASET" / "train").rmdir()
    assert read(raw) == EXPECTED


def test_a_reshuffled_copy_is_named_and_put_right(raw, caplog):
    shutil.move(raw / "DATASET/train/4/train_00002_aligned.jpg", raw / "DATASET/test/4/")
    assert read(raw) == EXPECTED
    assert re.search(
        r"the names of 1 of 29 images say another split.*test/4/train_00002_aligned\.jpg, "
        r"which is of train\. The copy was reshuffled",
        caplog.text,
    )


def test_renamed_faces_are_read_and_joined_to_nothing(tmp_path, raw, caplog):
    for i, path in enumerate(sorted(raw.rglob("*.jpg"))):
        path.rename(path.with_name(f"{i}.jpg"))
    line = prepare(dataset="raf_db", manual_dir=str(raw), data_dir=str(tmp_path / "out"))
    assert "train 17, validation 1, test 11 faces; from class folders" in line
    assert "29 of 29 images do not have an official name" in caplog.text
    assert "nothing else joins the two" in caplog.text


def test_doubled_files_are_counted(raw, caplog):
    write_image(raw / "DATASET/test/4/test_0054_aligned.jpg", level=1, size=(100, 100))
    read(raw)
    assert re.search(
        r"1 images are byte for byte equal to another image, 1 of them to one of another split\. "
        r"For example .*(train_00002|test_0054)_aligned\.jpg",
        caplog.text,
    )


FAULTS = {
    "0 to 6 in train, 1 to 7 in test": (
        lambda raw: [
            (raw / f"DATASET/train/{n}").rename(raw / f"DATASET/train/{n - 1}") for n in range(1, 8)
        ],
        r"must be numbered 1\.\.7, or 0\.\.6, the same in.*train \[0, 1.*test \[1, 2",
    ),
    "a class is missing": (
        lambda raw: [shutil.rmtree(raw / f"DATASET/{s}/7") for s in ("train", "test")],
        r"must be numbered 1\.\.7, or 0\.\.6.*Received: train \[1, 2, 3, 4, 5, 6\]",
    ),
    "words and numbers": (
        lambda raw: (raw / "DATASET/test/4").rename(raw / "DATASET/test/happy"),
        r"test/happy is named by a word, but .*Two layouts are mixed",
    ),
    "an unknown class": (
        lambda raw: (
            rename_classes(raw, WORDS),
            (raw / "DATASET/test/neutral").rename(raw / "DATASET/test/contempt"),
        ),
        r"test/contempt is not a class of RAF-DB \(surprise, .*Received: 'contempt'",
    ),
    "a class twice": (
        lambda raw: (
            rename_classes(raw, WORDS),
            shutil.copytree(raw / "DATASET/test/Happy", raw / "DATASET/test/happiness"),
        ),
        r"happiness and .*Happy are the same class",
    ),
    "a split twice": (
        lambda raw: shutil.copytree(raw / "DATASET/test", raw / "DATASET/Test_set"),
        r"are both the split test",
    ),
    "a class beside splits": (
        lambda raw: shutil.copytree(raw / "DATASET/test/4", raw / "DATASET/happy"),
        r"DATASET/happy is the folder of a class, but lies beside folders of splits",
    ),
    "a loose image": (
        lambda raw: shutil.copy(
            raw / "DATASET/test/4/test_54_aligned.jpg", raw / "DATASET/test/x.jpg"
        ),
        r"test/x\.jpg is not in the folder of a class",
    ),
    "a face in two classes": (
        lambda raw: shutil.copy(
            raw / "DATASET/test/4/test_54_aligned.jpg", raw / "DATASET/train/5/"
        ),
        r"have the name of the same face.*'test_54' twice",
    ),
    "an empty class": (
        lambda raw: [p.unlink() for p in (raw / "DATASET/test/4").iterdir()],
        r"test/4 holds no images",
    ),
    "two copies": (
        lambda raw: shutil.copytree(raw / "DATASET", raw / "OTHER"),
        r"DATASET, .*OTHER all hold a copy",
    ),
    "nameless and numbered from zero": (
        lambda raw: (
            rename_classes(raw, map(str, range(7))),
            [p.rename(p.with_name(f"{i}.jpg")) for i, p in enumerate(list(raw.rglob("*.jpg")))],
        ),
        r"not numbered by the labels of RAF-DB\. Neither the names .* name the folders",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(raw, fault):
    plant, message = FAULTS[fault]
    plant(raw)
    with pytest.raises((ValueError, FileNotFoundError), match=f"(?s){message}"):
        source.read_source(raw, form="aligned")


def test_classes_in_another_order_contradict_the_lists(tmp_path, raw):
    """Folders 0 to 6 by the alphabet, as ImageFolder would number them."""
    by_alphabet = sorted(range(7), key=lambda i: LABELS["raf_db"][i])
    rename_classes(raw, [str(by_alphabet.index(i)) for i in range(7)])
    with pytest.raises(ValueError, match=r"gives test_\d+ the label 5 \(anger\), .*test/0 gives 0"):
        prepare(dataset="raf_db", manual_dir=str(raw), data_dir=str(tmp_path / "out"))


def test_original_images_are_not_in_a_copy(tmp_path, raw):
    with pytest.raises(FileNotFoundError, match=r"has no original images: build raf_db/aligned"):
        prepare(dataset="raf_db/original", manual_dir=str(raw), data_dir=str(tmp_path / "out"))
