"""AffectNet as it circulates: in class folders, with and without the names that lists know."""

import re
import shutil

import numpy as np
import pytest

from ran_tf.data.prepare import prepare
from tests.fixtures import affectnet_files as files
from tests.fixtures.affectnet_builds import build
from tests.fixtures.builds import examples
from tfds_builders.affectnet import copied


def read(raw, release="numbered"):
    """Expressions by split, sorted."""
    _, splits = copied.read_copy(raw, release=release)
    return {split: sorted(row.expression for row in rows) for split, rows in splits.items()}


COMPLETE = {split: sorted(of_split) for split, of_split in files.COMPLETE.items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"names": files.WORDS},
        {"folders": ("archive (3)/Train", "archive (3)/Valid")},
        {"folders": ("train_set", "val_set")},
    ],
    ids=["numbers", "words", "below another folder", "the release's folders"],
)
def test_every_form_gives_the_same_classes(tmp_path, options):
    assert read(files.write_copy(tmp_path, **options)) == COMPLETE


def test_a_numbered_copy_is_built_without_subsets(tmp_path, caplog):
    raw = files.write_copy(tmp_path / "raw")
    line = prepare(dataset="affectnet", manual_dir=str(raw), data_dir=str(tmp_path / "out"))
    assert "numbered_8/1.0.0: train 10, validation 9 faces; from class folders 0 to 7 in" in line
    assert "published: train 287,651 (74874, 134415" in caplog.text
    builder = build(raw, tmp_path / "out", config="numbered_7")  # contempt is left out
    assert "occlusion" not in builder.info.features
    assert builder.info.metadata["left_out"]["train"]["contempt"] == 1
    found = examples(builder, "validation")
    assert {name: example["label"] for name, example in found.items()} == {
        f"val/{label}/image{index:07}": label
        for index, label in enumerate(files.COMPLETE["validation"])
        if label < 7
    }
    example = found["val/6/image0000008"]
    seen = example["image"][..., ::-1].astype(int) - files.picture(width=32, height=32, seed=8)
    assert np.abs(seen).mean() < 4
    for feature in ("landmarks", "valence", "arousal"):
        assert np.isnan(example[feature]).all()


def test_faces_with_hashed_names_are_joined_to_the_lists(tmp_path):
    options = {"names": files.WORDS, "name": files.hashed}
    raw = files.write_copy(files.write_lists(tmp_path / "raw"), files.EXPRESSIONS, **options)
    builder = build(raw, tmp_path / "out", config="original_8")
    assert builder.info.metadata["subsets"] == {"occlusion": 2, "pose_30": 2, "pose_45": 1}
    found = examples(builder, "validation")
    turned = {name for name, example in found.items() if example["pose_30"]}
    assert turned == {files.hashed("validation", index) for index in files.LISTED["pose_30"]}
    assert builder.info.metadata["left_out"]["validation"]["non-face"] == 1


def test_a_part_of_the_listed_faces_is_joined_to_what_there_is(tmp_path, caplog):
    options = {"names": files.WORDS, "name": files.hashed}
    raw = files.write_copy(files.write_lists(tmp_path / "raw"), files.EXPRESSIONS, **options)
    next(raw.rglob(f"{files.hashed('validation', 3)}.png")).unlink()
    shutil.rmtree(raw / "val" / files.WORDS[2])
    builder = build(raw, tmp_path / "out", config="original_8")
    assert builder.info.metadata["subsets"] == {"occlusion": 2, "pose_30": 1, "pose_45": 0}
    assert "1 of the 1 faces in the authors' list pose_45 are not among" in caplog.text


def test_a_copy_without_splits_has_validation_faces_held_out(tmp_path, caplog):
    expressions = {"train": (*range(8), *(1,) * 9), "validation": ()}
    raw = files.write_copy(tmp_path, expressions, names=files.WORDS, folders=(".", "."))
    assert read(raw) == {"train": sorted((*range(8), *(1,) * 8)), "validation": [1]}
    assert "of train is held out" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        None,
        "names:\n  0: anger\n  1: contempt\n  2: disgust\n  3: fear\n  4: happy\n  5: neutral\n"
        "  6: sad\n  7: surprise\nnc: 8\n",
        "names:\n- 'Anger'\n- Contempt\n- Disgust\n- Fear\n- Happy\n- Neutral\n- Sad\n- Surprise",
    ],
    ids=["a list", "numbers", "bullets"],
)
def test_labels_for_yolo_go_by_the_names_of_their_classes(tmp_path, names):
    raw = files.write_yolo(tmp_path / "YOLO_format")
    if names:
        (raw / "data.yaml").write_text(names)
    layout, splits = copied.read_copy(tmp_path, release="numbered")
    assert layout == "labels for YOLO in YOLO_format"
    for split, rows in splits.items():
        expressions = {int(row.id.rpartition("/")[2]): row.expression for row in rows}
        assert expressions == dict(enumerate(files.COMPLETE[split]))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data.yaml", None, r"is missing\. It says which number stands for which class"),
        ("data.yaml", "names: [Anger, Calm]", "must list classes of AffectNet .*: 'Anger, Calm'"),
        ("data.yaml", "names: [0, 1, 2, 3, 4, 5, 6, 7]", "`names` must list classes"),
        ("train/labels/3.txt", None, r"is missing\. It holds the class of"),
        ("train/labels/3.txt", "8 .5 .5 1 1", r"must give one class of 0\.\.7 .*Received: \['8 "),
        ("train/labels/3.txt", "1 .5 .5 1 1\n2 .1 .1 .1 .1\n", "must give one class"),
    ],
)
def test_a_fault_in_labels_for_yolo_is_named(tmp_path, file, text, message):
    path = files.write_yolo(tmp_path) / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"{re.escape(file)}.*{message}"):
        copied.read_copy(tmp_path, release="numbered")


@pytest.mark.parametrize(
    ("plant", "release", "message"),
    [
        (
            lambda raw: [(raw / f"{s}/0").rename(raw / f"{s}/8") for s in ("train", "val")],
            "numbered",
            r"must be numbered 0\.\.7, or 0\.\.6, or 0\.\.10, the same in.*train \[1, 2, .* 8\]",
        ),
        (lambda raw: None, "original", r"do not have the hashed names .* build affectnet/numbered"),
        (
            lambda raw: [
                path.rename(path.with_name(f"{files.hashed('x', i)}.png"))
                for i, path in enumerate(sorted(raw.rglob("*.png")))
            ],
            "numbered",
            r"have the hashed names of the original release, .*: build affectnet/original_8",
        ),
    ],
    ids=["1 to 8", "no hashes", "hashes"],
)
def test_a_fault_is_named(tmp_path, plant, release, message):
    raw = files.write_copy(tmp_path)
    plant(raw)
    with pytest.raises(ValueError, match=message):
        copied.read_copy(raw, release=release)


def test_a_release_is_taken_before_a_copy(tmp_path):
    raw = files.write_copy(files.write_numbered(tmp_path / "raw"), folders=("train", "val"))
    builder = build(raw, tmp_path / "out", config="numbered_8")
    assert builder.info.metadata["layout"] == "the numbered release"
    assert builder.info.splits["train"].num_examples == 5
