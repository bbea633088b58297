"""RAF-DB: the official layout, the authors' lists, and what is said where the files are wrong."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from ran_tf.data.prepare import prepare
from ran_tf.vocabulary import OCCLUSIONS
from tests.fixtures import builds, raf_db_files
from tests.fixtures.builds import edit
from tests.fixtures.exif_files import turned_jpeg
from tfds_builders.reading import held_out
from tfds_builders.reading.faces import Face


@pytest.fixture
def raw(tmp_path):
    raf_db_files.write_lists(tmp_path / "ran_lists" / "RAF_DB_dir")
    return raf_db_files.write(tmp_path / "basic")


@pytest.mark.parametrize("config", ["aligned", "original"])
def test_faces_have_their_label_split_conditions_and_image(tmp_path, raw, caplog, config):
    with caplog.at_level("WARNING"):
        builder = builds.build(f"raf_db/{config}", raw, tmp_path / "out")
    found = builds.examples(builder)
    assert {name: face["label"] + 1 for name, face in found.items()} == raf_db_files.LABELS
    splits = {name: face["split"] for name, face in found.items()}
    assert {name for name, split in splits.items() if split == "validation"} == {"train_00010"}
    assert {name for name, split in splits.items() if split == "test"} == {
        name for name in raf_db_files.LABELS if name.startswith("test")
    }
    assert builder.info.splits["train+validation"].num_examples == 11  # the official one

    size = (100, 100) if config == "aligned" else raf_db_files.SIZE
    for number, name in enumerate(raf_db_files.LABELS):
        expected = np.full((*size, 3), (200, 10 * number, 20))  # RGB
        np.testing.assert_allclose(found[name]["image"], expected, atol=4)

    flags = {name: (f["occlusion"], f["pose_30"], f["pose_45"]) for name, f in found.items()}
    lower, glasses = OCCLUSIONS.index("lower"), OCCLUSIONS.index("glasses")
    assert {name: flag for name, flag in flags.items() if any(flag)} == {
        "test_0001": (0, True, True),
        "test_0002": (glasses, True, False),
        "test_2464": (lower, False, False),
    }
    assert builder.info.metadata["subsets"] == {"occlusion": 2, "pose_30": 2, "pose_45": 1}
    assert "occlusion_list.txt, row 3: repeats test_2464 of" in caplog.text
    assert "occlusion_list.txt, row 2: counted once" in caplog.text
    assert "train 11 (0, 0, 0, 10, 0, 0, 1), test 4" in caplog.text
    assert "published: train 12,271 (1290, 281, 717," in caplog.text


def test_landmarks_are_those_of_the_original_image(tmp_path, raw):
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "out")}
    line = prepare(dataset="raf_db/original", **where)
    assert "; landmarks: 2 known, 0 not found, 13 without a row." in line
    found = builds.examples(tfds.builder("raf_db/original", data_dir=where["data_dir"]))
    height, width = raf_db_files.SIZE
    five = np.array(raf_db_files.FIVE) / (width, height)
    np.testing.assert_allclose(found["train_00001"]["landmarks"], five, rtol=1e-6)
    # The subject's left became the image's, and the point below the image its border.
    below = np.where(np.arange(5)[:, None] == 3, [14.5 / width, 1], five)
    np.testing.assert_allclose(found["train_00002"]["landmarks"], below, rtol=1e-6)
    assert np.isnan(found["test_0001"]["landmarks"]).all()


def test_aligned_faces_take_landmarks_from_a_csv_beside_them(tmp_path, raw):
    names = [f"{p}_{axis}" for p in vocabulary.LANDMARKS for axis in "xy"]
    path = raw / "Image" / "aligned" / "landmarks.csv"
    path.write_text(f"id,{','.join(names)}\ntest_0001_aligned{',0.25' * 10}\n")
    found = builds.examples(builds.build("raf_db", raw, tmp_path / "out"))
    assert (found["test_0001"]["landmarks"] == 0.25).all()
    assert np.isnan(found["test_0002"]["landmarks"]).all()
    original = builds.examples(builds.build("raf_db/original", raw, tmp_path / "out"))
    assert np.isnan(original["test_0001"]["landmarks"]).all()


def test_an_image_is_turned_as_those_who_found_its_landmarks_turned_it(tmp_path, raw):
    """The annotators' tools ignored EXIF data, our detectors do not."""
    wide = np.zeros((16, 32, 3), np.uint8)
    (raw / "Image/original/train_00001.jpg").write_bytes(turned_jpeg(wide))
    annotated = builds.examples(builds.build("raf_db/original", raw, tmp_path / "annotated"))
    assert annotated["train_00001"]["image"].shape == (16, 32, 3)
    names = [f"{p}_{axis}" for p in vocabulary.LANDMARKS for axis in "xy"]
    path = raw / "Image" / "original" / "landmarks.csv"
    path.write_text(f"id,{','.join(names)}\ntrain_00001{',0.25' * 10}\n")
    found = builds.examples(builds.build("raf_db/original", raw, tmp_path / "found"))
    assert found["train_00001"]["image"].shape == (32, 16, 3)
    assert found["train_00002"]["image"].shape == (*raf_db_files.SIZE, 3)


def test_held_out_is_every_tenth_face_of_each_class():
    labels = {f"face_{i:03}": i % 2 for i in range(45)}  # 23 and 22
    expected = {f"face_{i:03}" for i in (18, 38, 19, 39)}
    assert held_out.held_out(labels) == expected
    assert held_out.held_out(dict(reversed(labels.items()))) == expected


def test_a_validation_split_of_its_own_is_kept():
    known = {"label": 0, "source": "", "image": None}
    given = [
        Face(id=f"{s}{i}", split=s, **known) for s in ("train", "validation") for i in range(10)
    ]
    assert held_out.with_validation(given) == given
    held = [f.id for f in held_out.with_validation(given[:10]) if f.split == "validation"]
    assert held == ["train9"]


LABEL_FILE = "basic/EmoLabel/list_patition_label.txt"
LIST = "ran_lists/RAF_DB_dir/"
MISTAKES = {
    "no layout at all": (
        lambda top: shutil.rmtree(top / "basic" / "EmoLabel"),
        r"basic holds no RAF-DB: expected EmoLabel/list_patition_label\.txt.*manual_dir=",
    ),
    "images still packed": (
        lambda top: shutil.rmtree(top / "basic/Image/aligned"),
        r"Image/aligned is missing: unpack Image/aligned\.zip.*manual_dir=",
    ),
    "a row that names no image": (
        lambda top: (top / "basic/Image/aligned/test_0003_aligned.jpg").unlink(),
        r"label\.txt, row 14: names an image that is not in .*unpack.*'test_0003_aligned\.jpg'",
    ),
    "a label from zero": (
        lambda top: edit(top / LABEL_FILE, "test_0001.jpg 1", "test_0001.jpg 0"),
        r"label\.txt, row 12: must be an image and its label 1\.\.7.*row='test_0001\.jpg 0'",
    ),
    "a face given twice": (
        lambda top: edit(top / LABEL_FILE, "test_0002.jpg 6", "test_0001.jpg 6"),
        r"label\.txt, row 13: repeats test_0001 of .*row 12: delete one",
    ),
    "the test images are not named": (
        lambda top: (top / LABEL_FILE).write_text("train_00001.jpg 4\n"),
        r"must name train and test images.*Received: {'train': 1, 'test': 0}",
    ),
    "an image of another size": (
        lambda top: raf_db_files.write_image(
            top / "basic/Image/aligned/test_0003_aligned.jpg", level=1, size=(112, 112)
        ),
        r"test_0003_aligned\.jpg \(named by .*\) must be 100x100 .*Received: shape=\(112, 112\)",
    ),
    "labels in another order": (
        lambda top: edit(top / LABEL_FILE, "test_0002.jpg 6", "test_0002.jpg 1"),
        r"occlusion_list\.txt, row 1: gives test_0002 the label 5 \(anger\), .*label\.txt, row 13 "
        r"gives 0 \(surprise\), both counted from zero\. .*Received: label=1",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_files_is_named_and_leaves_no_dataset(tmp_path, raw, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        builds.build("raf_db", raw, tmp_path / "out")
    builds.assert_nothing_built("raf_db", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\t2\n3\t4\n", r"train_00002_manu_attri\.txt: must have 8 lines .*Received: 2 lines"),
        (
            raf_db_files.MANUAL["train_00002"].replace("20\t30", "20"),
            r"train_00002_manu_attri\.txt, row 3: must be the x and y .*Received: row='20'",
        ),
    ],
)
def test_a_mistaken_annotation_is_named(tmp_path, raw, text, message):
    (raw / "Annotation/manual/train_00002_manu_attri.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        builds.build("raf_db/original", raw, tmp_path / "out")
    builds.assert_nothing_built("raf_db/original", tmp_path / "out")
