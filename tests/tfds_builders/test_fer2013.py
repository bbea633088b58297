"""FER2013 with its own classes: the table and the class folders, and what is said of faults."""

import dataclasses
import re

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf.data.prepare import prepare
from ran_tf.vocabulary import LABELS
from tests.fixtures import builds
from tests.fixtures.builds import edit
from tests.fixtures.ferplus_files import pixels
from tfds_builders.fer2013 import source

SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
#: Usage and class of each face; by number also its pixels.
FACES = [(usage, label) for usage in SPLITS for label in range(7)]


def write_table(root, *, columns=("emotion", "pixels", "Usage"), name="fer2013.csv"):
    root.mkdir(parents=True, exist_ok=True)
    rows = [",".join(columns)]
    for number, (usage, label) in enumerate(FACES):
        values = " ".join(map(str, pixels(f"fer{number}").ravel()))
        cells = {"emotion": str(label), "pixels": values, "Usage": usage}
        rows.append(",".join(cells[column.strip()] for column in columns))
    (root / name).write_text("\n".join(rows) + "\n")
    return root


def write_folders(root, *, words=LABELS["fer2013"], folders=("train", "test", "test")):
    """Kaggle's: PublicTest and PrivateTest are in one folder."""
    for number, (usage, label) in enumerate(FACES):
        folder = root / dict(zip(SPLITS, folders, strict=True))[usage] / words[label]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{usage}_{number}.jpg"), pixels(f"fer{number}"))
    return root


def test_the_counts_are_the_published_ones():
    counts = source.RELEASE.counts
    assert [sum(counts[split]) for split in SPLITS.values()] == [28709, 3589, 3589]
    # By class in all, as in "Challenges in Representation Learning" (Goodfellow et al. 2013).
    assert [sum(c) for c in zip(*counts.values(), strict=True)] == [
        4953, 547, 5121, 8989, 6077, 4002, 6198,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "layout"),
    [
        (write_table, "the table fer2013.csv"),
        (
            lambda root: write_table(
                root, name="icml_face_data.csv", columns=("emotion", " Usage", " pixels")
            ),
            "the table icml_face_data.csv",
        ),
        (write_folders, "class folders named by class in train, test"),
        (
            lambda root: write_folders(root, words="0123456", folders=tuple(SPLITS)),
            "class folders 0 to 6 in Training, PublicTest, PrivateTest",
        ),
    ],
    ids=["table", "table of ICML", "Kaggle's folders", "numbers"],
)
def test_every_layout_gives_the_same_classes_and_splits(tmp_path, caplog, write, layout):
    raw = write(tmp_path / "raw")
    line = prepare(dataset="fer2013", manual_dir=str(raw), data_dir=str(tmp_path / "out"))
    assert f"train 7, validation 7, test 7 faces; from {layout}. Built" in line
    assert "reshuffled" not in caplog.text
    assert "published: train 28,709 (3995, 436" in caplog.text
    builder = tfds.builder("fer2013", data_dir=str(tmp_path / "out"))
    assert not {"votes", "occlusion", "pose_30"} & set(builder.info.features)
    seen = {}
    for name, example in builds.examples(builder).items():
        number = int(re.search(r"\d+$", name)[0])
        seen[number] = (example["split"], example["label"])
        difference = example["image"][..., 0].astype(int) - pixels(f"fer{number}")
        assert np.abs(difference).mean() < (1 if "table" in layout else 12)  # a JPEG's noise
    assert seen == {i: (SPLITS[usage], label) for i, (usage, label) in enumerate(FACES)}


def test_images_that_lost_their_names_keep_the_split_of_their_folder(tmp_path, caplog):
    raw = write_folders(tmp_path / "raw")
    for i, path in enumerate(sorted(raw.rglob("*.jpg"))):
        path.rename(path.with_name(f"{i}.jpg"))
    found = source.read_source(raw)
    assert sorted(face.split for face in found.faces) == ["test"] * 14 + ["train"] * 7
    assert "no validation split" in caplog.text
    assert "21 of 21 images do not have an official name" in caplog.text


def test_numbers_by_the_alphabet_are_known_by_their_counts(tmp_path, monkeypatch):
    counts = {split: range(1, 8) for split in SPLITS.values()}
    monkeypatch.setattr(source, "RELEASE", replace_counts(counts))
    ordered = sorted(LABELS["fer2013"])
    for usage in SPLITS:
        for label, word in enumerate(LABELS["fer2013"]):
            folder = tmp_path / usage / str(ordered.index(word))
            folder.mkdir(parents=True)
            for i in range(label + 1):
                (folder / f"{usage}_{label}{i}.jpg").write_bytes(b"never read")
    with pytest.raises(
        ValueError,
        match=r"train has the published numbers of faces, .* in another order than angry",
    ):
        source.read_source(tmp_path)


def replace_counts(counts):
    return dataclasses.replace(source.RELEASE, counts=counts)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda raw: None, r"holds no FER2013: expected fer2013\.csv or"),
        (
            lambda raw: write_folders(raw, words=("contempt", *LABELS["fer2013"][1:])),
            r"train/contempt is not a class of FER2013 \(angry, ",
        ),
        (
            lambda raw: edit(write_table(raw) / "fer2013.csv", "\n6,", "\n7,"),
            r"fer2013\.csv, row 8: must give an emotion of 0\.\.6 .*Received: emotion='7'",
        ),
        (
            lambda raw: edit(write_table(raw) / "fer2013.csv", "PublicTest", "Public"),
            r"row 9: must give .* a Usage of Training, .*Usage='Public'",
        ),
        (
            lambda raw: edit(write_table(raw) / "fer2013.csv", "emotion,", "label,"),
            r"row 1: the header lacks emotion",
        ),
        (
            lambda raw: (raw / "fer2013.csv").write_text("emotion,pixels,Usage\n"),
            r"fer2013\.csv: has no rows",
        ),
        (
            lambda raw: (raw / "train").mkdir() or (raw / "train" / "images").mkdir(),
            r"holds no FER2013",
        ),
    ],
)
def test_a_fault_is_named(tmp_path, plant, message):
    plant(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        source.read_source(tmp_path)
