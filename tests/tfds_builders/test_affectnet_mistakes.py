"""Mistakes in AffectNet's files: file, row and remedy are named, and nothing is left behind."""

import io
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.fixtures import affectnet_files as files
from tests.fixtures.affectnet_builds import build
from tests.fixtures.affectnet_files import IMAGES, TRAIN, VALIDATION
from tests.fixtures.builds import assert_nothing_built, edit
from tests.fixtures.image_files import png_that_claims


@pytest.fixture
def original(tmp_path):
    return files.write_lists(files.write_original(tmp_path / "raw"))


@pytest.fixture
def numbered(tmp_path):
    return files.write_numbered(tmp_path / "raw")


def npy_that_claims(count):
    """A NumPy file of four numbers that says it has so many."""
    file = io.BytesIO()
    header = {"shape": (count,), "fortran_order": False, "descr": "<f8"}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(32)


def repeat(path, old, new):
    """Adds the row that holds `old` once more, with `new` in its place."""
    row = next(line for line in path.read_text().splitlines() if old in line)
    path.write_text(f"{path.read_text()}{row.replace(old, new)}\n")


def train_row(index):
    return files.original_path("train", index)


POSE = "pose_45_affectnet_list.txt"
ORIGINAL_MISTAKES = {
    "a table is missing": (
        lambda raw: (raw / VALIDATION).unlink(),
        r"raw lacks validation\.csv of AffectNet's original release: put them.*manual_dir=",
    ),
    "the other release": (
        lambda raw: (shutil.rmtree(raw), files.write_numbered(raw)),
        r"lacks training\.csv, validation\.csv, Manually_Annotated_Images/ .*it holds the numbered "
        r"release: build affectnet/numbered_8",
    ),
    "a row cut off": (
        lambda raw: edit(raw / TRAIN, ",0.9\r\n", "\r\n"),
        r"training\.csv, row 2: has 8 columns, expected 9 .*use the table as pub.*Received: row=",
    ),
    "a landmark too few": (
        lambda raw: edit(raw / TRAIN, ";", ";1.5;2.5;"),
        r"training\.csv, row 2: facial_landmarks must be 68 pairs.*Received: 138 numbers",
    ),
    "a landmark that is no number": (
        lambda raw: edit(raw / TRAIN, ";", ";x"),
        r"training\.csv, row 2: facial_landmarks must hold numbers.*Received: facial_landmarks=",
    ),
    "an image is missing": (
        lambda raw: (raw / IMAGES / train_row(1)).unlink(),
        r"\.png \(named by .*training\.csv, row 3\) is missing: unpack.*Received: path=",
    ),
    "an image that does not decode": (
        lambda raw: (raw / IMAGES / train_row(2)).write_bytes(b"<html>"),
        r"\.JPG \(named by .*training\.csv, row 4\) does not decode.*Received: .*6 bytes",
    ),
    "a box beside the image": (
        lambda raw: edit(raw / TRAIN, ",20,10,40,40,", ",90,10,40,40,"),
        r"training\.csv, row 2: the face's box must lie in its image of 90x60 .*Received: x=90",
    ),
    "no box": (
        lambda raw: edit(raw / TRAIN, ",20,10,40,40,", ",NULL,NULL,NULL,NULL,"),
        r"training\.csv, row 2: face_x must hold numbers: .*delete the row.*face_x='NULL'",
    ),
    "an expression of no meaning": (
        lambda raw: edit(raw / TRAIN, ",8,-0.2,", ",11,-0.2,"),
        r"training\.csv, row 5: the expression must be 0\.\.10 \(neutral.*expression='11'",
    ),
    "a face twice in the validation table": (
        lambda raw: edit(
            raw / VALIDATION,
            files.original_path("validation", 1),
            files.original_path("validation", 0),
        ),
        r"validation\.csv, row 2: repeats the image of .*validation\.csv, row 1: delete one",
    ),
    "a path that climbs": (
        lambda raw: edit(raw / TRAIN, train_row(0), "../../" + train_row(0)),
        r"training\.csv, row 2: must name an image below .*Manually_Annotated_Images: .*\.\./\.\./",
    ),
    "an absolute path": (
        lambda raw: edit(raw / TRAIN, train_row(0), str(raw / IMAGES / train_row(0))),
        r"training\.csv, row 2: must name an image below .*Received: subDirectory_filePath='/",
    ),
    "a quote that is not closed": (
        lambda raw: edit(raw / TRAIN, train_row(1), '"' + train_row(1)),
        r"training\.csv, row 3: is not a valid CSV row",
    ),
    "a column twice": (
        lambda raw: edit(raw / TRAIN, ",arousal", ",valence,arousal"),
        r"training\.csv, row 1: the header has twice valence: use the table as published",
    ),
    "a list of another order of the classes": (
        lambda raw: edit(raw / POSE, "2/", "6/"),
        r"pose_45_affectnet_list\.txt, row 1: gives \w{56} the label 6 \(anger\), .*"
        r"validation\.csv, row 4 gives 2 \(sad\).*Received: expression=2",
    ),
}

ANNOTATIONS = "train_set/annotations"
NUMBERED_MISTAKES = {
    "a folder is missing": (
        lambda raw: shutil.rmtree(raw / "val_set" / "images"),
        r"raw lacks val_set/images/ of AffectNet's numbered release: put them.*manual_dir=",
    ),
    "the other release": (
        lambda raw: (shutil.rmtree(raw), files.write_original(raw)),
        r"it holds the original release: build affectnet/original_8",
    ),
    "an image is missing": (
        lambda raw: (raw / "train_set/images/2.jpg").unlink(),
        r"images/2\.jpg \(named by .*2_exp\.npy\) is missing: unpack the images.*Received: path=",
    ),
    "an image that claims 40,000 x 40,000 pixels": (
        lambda raw: (raw / "train_set/images/2.jpg").write_bytes(png_that_claims(40_000, 40_000)),
        r"images/2\.jpg \(named by .*2_exp\.npy\).*at most 67,108,864 pixels",
    ),
    "an expression that claims 10^12 numbers": (
        lambda raw: (raw / ANNOTATIONS / "2_exp.npy").write_bytes(npy_that_claims(10**12)),
        r"2_exp\.npy must be a plain NumPy array.*Received: ",
    ),
    "an expression is missing": (
        lambda raw: (raw / ANNOTATIONS / "2_exp.npy").unlink(),
        r"train_set must hold one N_exp\.npy for each image.*Received: 8 images, 7 expressions",
    ),
    "another annotation is missing": (
        lambda raw: (raw / ANNOTATIONS / "2_aro.npy").unlink(),
        r"2_aro\.npy is missing: unpack the annotations again",
    ),
    "an array of objects": (
        lambda raw: np.save(raw / ANNOTATIONS / "1_exp.npy", np.array([{}]), allow_pickle=True),
        r"1_exp\.npy must be a plain NumPy array.*save it as one\. Received: .*allow_pickle=False",
    ),
    "landmarks of another scheme": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_lnd.npy", np.zeros((5, 2))),
        r"0_lnd\.npy must hold 136 numbers: unpack.*Received: shape=\(5, 2\)",
    ),
    "text that is no number": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_val.npy", np.array("high")),
        r"0_val\.npy must hold 1 number: .*values=\['high'\]",
    ),
    "two expressions": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_exp.npy", np.array([1, 2])),
        r"0_exp\.npy must hold one value: .*Received: shape=\(2,\)",
    ),
    "nothing but faces of no emotion": (
        lambda raw: [np.save(raw / "val_set/annotations" / f"{i}_exp.npy", 9) for i in range(6)],
        r"numbered_8: no face of the validation split has an emotion.*Received: 6 faces",
    ),
}


@pytest.mark.parametrize("mistake", ORIGINAL_MISTAKES)
def test_a_mistake_in_the_original_release_is_named(tmp_path, original, mistake):
    assert_named(ORIGINAL_MISTAKES[mistake], tmp_path, config="original_8")


def test_an_image_of_two_faces_and_a_row_given_twice_are_no_mistakes(tmp_path, original):
    repeat(original / TRAIN, ",20,10,40,40,", ",30,10,40,40,")
    repeat(original / TRAIN, ",-5,30,50,50,", ",-5,30,50,50,")
    build(original, tmp_path / "out", config="original_8")
    builder = tfds.builder("affectnet/original_8", data_dir=tmp_path / "out")
    assert builder.info.splits["train"].num_examples == 5 + 2


@pytest.mark.parametrize("mistake", NUMBERED_MISTAKES)
def test_a_mistake_in_the_numbered_release_is_named(tmp_path, numbered, mistake):
    assert_named(NUMBERED_MISTAKES[mistake], tmp_path, config="numbered_8")


def assert_named(mistake, tmp_path, *, config):
    spoil, message = mistake
    spoil(tmp_path / "raw")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(tmp_path / "raw", tmp_path / "out", config=config)
    assert_nothing_built(f"affectnet/{config}", tmp_path / "out")
