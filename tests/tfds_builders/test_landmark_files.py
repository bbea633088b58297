"""Landmarks given as a CSV to a dataset that has none: joined by id, checked, counted."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from ran_tf.data.prepare import prepare
from tests.fixtures import builds, ferplus_files
from tfds_builders.reading import landmarks

HEADER = "id," + ",".join(f"{p}_{axis}" for p in vocabulary.LANDMARKS for axis in "xy")
FACE = "fer0032220,0.3,0.4,0.7,0.4,0.5,0.6,0.35,0.8,0.65,1"
NO_FACE = "fer0032222" + ",nan" * 10
LEFT_OUT = "fer0028639" + ",0.5" * 10  # an image of no emotion is no face of the dataset


@pytest.fixture
def raw(tmp_path):
    return ferplus_files.write_lists(ferplus_files.write_folders(tmp_path / "raw"))


def write(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8-sig")  # as spreadsheets save it
    return path


def points_by_id(data_dir):
    found = builds.examples(tfds.builder("ferplus", data_dir=data_dir))
    return {name: example["landmarks"] for name, example in found.items()}


@pytest.mark.parametrize("given", ["flag", "in manual_dir"])
def test_landmarks_reach_the_examples_by_id(tmp_path, raw, given):
    place = raw / "landmarks.csv" if given == "in manual_dir" else tmp_path / "found.csv"
    path = write(place, HEADER, NO_FACE, LEFT_OUT, FACE)
    where = {"dataset": "ferplus", "data_dir": str(tmp_path / "out")}
    flag = {"landmarks": str(path)} if given == "flag" else {}
    line = prepare(manual_dir=str(raw), **where, **flag)
    assert "; landmarks: 1 known, 1 not found, 6 without a row. Built in" in line

    points = points_by_id(where["data_dir"])
    np.testing.assert_allclose(
        points.pop("fer0032220"), [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 1]]
    )
    assert len(points) == 7
    assert np.isnan(list(points.values())).all()

    again = prepare(**where, landmarks=str(path))
    assert "landmarks: 1 known, 1 not found, 6 without a row. Already built" in again


def test_columns_are_read_by_name_and_others_ignored(tmp_path):
    names = list(landmarks.COLUMNS)
    cells = {name: f"{0.05 * (i + 1):.2f}" for i, name in enumerate(names)}
    order = ["path", *reversed(names), "id"]
    row = ",".join({**cells, "id": "a", "path": "a.png"}[name] for name in order)
    path = write(tmp_path / "x.csv", ",".join(order), row)
    found = landmarks.load_landmarks(path, manual_dir=tmp_path, ids={"a": "a"})
    np.testing.assert_allclose(found.of("a").ravel(), 0.05 * np.arange(1, 11), rtol=1e-6)


MISTAKES = {
    "a missing column": (
        (HEADER.replace(",nose_y", ""), FACE),
        r"x\.csv, row 1: the header lacks nose_y: write the file again.*Received: 'id,left",
    ),
    "an id of no face": (
        (HEADER, FACE, FACE.replace("fer0032220", "fer9999999")),
        r"x\.csv, row 3: no face of this dataset has this id: .*delete the row.*id='fer9999999'",
    ),
    "pixels": (
        (HEADER, FACE.replace("0.7", "33.5")),
        r"x\.csv, row 2: must give ten numbers in 0\.\.1 .*divide pixels.*'33\.5'",
    ),
    "a short row": (
        (HEADER, FACE[:-2]),
        r"x\.csv, row 2: has 10 columns, expected 11 .*write the file again",
    ),
    "a column twice": (
        (f"{HEADER},nose_x", f"{FACE},0.9"),
        r"x\.csv, row 1: the header has twice nose_x: write the file again",
    ),
    "a quote that is not closed": (
        (HEADER, f'"{FACE}', NO_FACE, f'{LEFT_OUT}"'),
        r"x\.csv, row 2: is not a valid CSV row .*Received: .*fer0032220",
    ),
    "half a landmark": (
        (HEADER, FACE.replace("0.7", "nan")),
        r"row 2: a landmark must have both x and y, or nan for both",
    ),
    "a face twice": (
        (HEADER, FACE, NO_FACE, FACE),
        r"x\.csv, row 4: repeats fer0032220 of .*row 2: delete one of the two.*id='fer0032220'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_leaves_no_dataset(tmp_path, raw, mistake):
    rows, message = MISTAKES[mistake]
    path = write(tmp_path / "x.csv", *rows)
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=message):
        prepare(dataset="ferplus", landmarks=str(path), **where)
    assert not list((tmp_path / "out").rglob("*tfrecord*"))


def test_a_name_of_several_images_is_refused(tmp_path):
    path = write(tmp_path / "x.csv", HEADER, FACE)
    with pytest.raises(ValueError, match=r"row 2: several images of this dataset have this name"):
        landmarks.load_landmarks(path, manual_dir=tmp_path, ids={"fer0032220": None})


def test_a_dataset_that_is_built_is_not_silently_kept_without_the_landmarks(tmp_path, raw):
    where = {"dataset": "ferplus", "data_dir": str(tmp_path / "out")}
    prepare(manual_dir=str(raw), **where)
    path = write(tmp_path / "x.csv", HEADER, FACE)
    with pytest.raises(
        ValueError, match=r"already built in .*without landmarks\. Delete it.*x\.csv"
    ):
        prepare(manual_dir=str(raw), landmarks=str(path), **where)


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        ("synthetic_faces", ValueError, r"left out for synthetic_faces, .* ferplus.* landmarks="),
        ("ferplus", FileNotFoundError, r"must be a CSV file; .*align --landmarks_only.*no/such"),
    ],
)
def test_landmarks_that_cannot_be_used_are_named(tmp_path, raw, dataset, error, message):
    with pytest.raises(error, match=message):
        prepare(
            dataset=dataset,
            manual_dir=str(raw),
            data_dir=str(tmp_path / "out"),
            landmarks="no/such.csv",
        )
