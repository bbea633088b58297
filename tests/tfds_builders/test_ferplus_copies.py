"""FERPlus as it circulates: in class folders, joined to the lists by name, and without votes."""

import numpy as np
import pytest

from ran_tf import config
from ran_tf.data import prepared
from ran_tf.data.prepare import prepare
from tests.fixtures import builds
from tests.fixtures import ferplus_files as files
from tfds_builders.ferplus import copied, source

LABELS = {name: label for _, name, _, label in files.FACES if label is not None}
SPLITS = {name: files.SPLITS[usage] for usage, name, _, label in files.FACES if label is not None}


@pytest.fixture
def raw(tmp_path):
    files.write_lists(tmp_path / "ran_lists" / "FERplus_dir")
    return files.write_copy(tmp_path / "raw")


def read(raw):
    """Label and split by id."""
    found = source.read_source(raw)
    assert found.protocol is None
    return {face.id: (face.label, face.split) for face in found.faces}


EXPECTED = {name: (LABELS[name], SPLITS[name]) for name in LABELS}


def build(raw, tmp_path, name="ferplus"):
    return prepare(dataset=name, manual_dir=str(raw), data_dir=str(tmp_path / "out"))


def test_a_copy_is_built_without_votes(tmp_path, raw, caplog):
    line = build(raw, tmp_path)
    assert "train 2, validation 1, test 3 faces; among them occlusion 2, pose_30 2" in line
    assert "; from class folders named by class in train, validation, test. Built" in line
    assert "votes" not in line
    assert "a part of the dataset" in caplog.text
    data = config.DataConfig(name="ferplus", data_dir=str(tmp_path / "out"))
    opened = prepared.open_dataset(data)
    faces = builds.examples(opened.builder)
    assert {name: face["label"] for name, face in faces.items()} == LABELS
    assert {name for name, face in faces.items() if face["pose_30"]} == {"fer0032222", "fer0032224"}
    for name, face in faces.items():
        assert np.isnan(face["votes"]).all()
        np.testing.assert_array_equal(face["image"][..., 0], files.pixels(name))
    with pytest.raises(ValueError, match="only for a dataset with crowd votes"):
        prepared.open_dataset(
            config.DataConfig(name="ferplus", data_dir=str(tmp_path / "out"), target="votes")
        )


def test_votes_cannot_be_built_of_a_copy(tmp_path, raw):
    with pytest.raises(ValueError, match="has no votes: build ferplus/majority"):
        build(raw, tmp_path, "ferplus/votes")


@pytest.mark.parametrize(
    "names", [("train", "test", "test"), ("fer/Train", "fer/test", "fer/test")]
)
def test_validation_faces_in_the_test_folder_are_known_by_name(tmp_path, caplog, names):
    splits = dict(zip(files.SPLITS, names, strict=True))
    assert read(files.write_copy(tmp_path, splits=splits)) == EXPECTED
    assert "reshuffled" not in caplog.text


def test_numbers_are_those_of_the_authors_folders(tmp_path, raw):
    number_folders(raw, {word: str(i) for i, word in enumerate(files.WORDS)})
    build(raw, tmp_path)
    assert {n: v for n, v in read(raw).items() if n in EXPECTED} == EXPECTED


def number_folders(raw, numbers):
    """Renames the class folders, and fills those that have no face, with names of none."""
    for split in ("train", "validation", "test"):
        for i, (word, number) in enumerate(numbers.items()):
            folder = raw / split / word
            if not folder.exists():
                folder.mkdir()
                base = {"train": 100, "validation": 28700, "test": 33000}[split]
                source_file = next(raw.rglob("fer0032222.png"))
                (folder / f"fer{base + i:07}.png").write_bytes(source_file.read_bytes())
            folder.rename(raw / split / number)


def test_numbers_by_the_alphabet_contradict_the_lists(tmp_path, raw):
    ordered = sorted(files.WORDS, key=str.lower)
    number_folders(raw, {word: str(ordered.index(word)) for word in files.WORDS})
    with pytest.raises(
        ValueError, match=r"this copy gives that label to 0\. Its folders are in another"
    ):
        build(raw, tmp_path)


def test_a_few_other_classes_are_told(caplog):
    rows = [make_row(f"fer{i:07}", label=4) for i in range(5)]
    known = {row.id: make_known(label=4 if i else 3) for i, row in enumerate(rows)}
    copied.check_lists({"pose_30": rows}, faces=known)
    assert "1 of the 5 listed faces have another class" in caplog.text


def make_row(name, *, label):
    return copied.conditions.ListRow(id=name, label=label, occlusion="none", source="list")


def make_known(*, label):
    return copied.conditions.Known(label=label, cell=f"label={label}", source="folder")


def test_fer2013_is_not_ferplus(raw):
    (raw / "test/contempt").rename(raw / "test/disgust")
    for i, path in enumerate(sorted(raw.rglob("*.png"))):
        path.rename(path.with_name(f"Training_{i}.png"))
    with pytest.raises(ValueError, match=r"holds FER2013, not FERPlus.*Build fer2013"):
        source.read_source(raw)
