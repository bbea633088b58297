"""One's own folders: splits, classes, CSV files, and what is said where they are wrong."""

import os
import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ran_tf import config, vocabulary
from ran_tf.data import pipeline, prepared
from ran_tf.data.prepare import prepare
from tests.fixtures import builds
from tests.fixtures.image_files import HEIC
from tfds_builders.folder_faces import folder_faces_dataset_builder

COLOURS = {"angry": (250, 20, 10), "happy": (10, 240, 20)}  # RGB
LANDMARK_HEADER = ",".join(f"{p}_{axis}" for p in vocabulary.LANDMARKS for axis in "xy")


def write_image(path, colour, *, size=(30, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), colour[::-1], np.uint8))


def write_class(folder, count, *, ending="png"):
    for i in range(count):
        write_image(folder / f"face{i:02}.{ending}", COLOURS[folder.name])


def write_splits(root):
    """Train and test; as people have them: endings in capitals, deeper folders, other files."""
    write_class(root / "train" / "angry", 3)
    write_class(root / "train" / "happy", 12)
    write_class(root / "test" / "happy", 2)
    write_image(root / "test" / "angry" / "Ann" / "IMG 1.JPG", COLOURS["angry"], size=(8, 40))
    (root / "train" / "happy" / "Thumbs.db").write_bytes(b"?")
    (root / "train" / "happy" / "._face00.png").write_bytes(b"?")  # macOS
    (root / "__MACOSX").mkdir()
    (root / "notes.txt").write_text("?")
    return root


@pytest.fixture
def raw(tmp_path):
    return write_splits(tmp_path / "raw")


def build(raw, tmp_path, name="folder_faces", **flags):
    return prepare(dataset=name, manual_dir=str(raw), data_dir=str(tmp_path / "out"), **flags)


def examples(tmp_path, name="folder_faces"):
    """Every example of a newly opened builder, by id."""
    return builds.examples(tfds.builder(name, data_dir=tmp_path / "out"))


def labels(tmp_path, name="folder_faces"):
    return tfds.builder(name, data_dir=tmp_path / "out").info.features["label"].names


def test_folders_give_classes_splits_and_images(tmp_path, raw):
    line = build(raw, tmp_path)
    assert line.startswith("folder_faces/1.0.0: train 14, validation 1, test 3 faces. Built in ")
    assert labels(tmp_path) == ["angry", "happy"]
    found = examples(tmp_path)
    assert {name for name, face in found.items() if face["split"] == "validation"} == {
        "train/happy/face09"
    }
    assert {name for name, face in found.items() if face["split"] == "test"} == {
        "test/happy/face00",
        "test/happy/face01",
        "test/angry/Ann/IMG 1",
    }
    for name, face in found.items():
        emotion = name.split("/")[1]
        assert face["label"] == sorted(COLOURS).index(emotion)
        size = (8, 40) if "IMG" in name else (30, 20)
        np.testing.assert_allclose(face["image"], np.full((*size, 3), COLOURS[emotion]), atol=4)
        assert (face["occlusion"], face["pose_30"], face["pose_45"]) == (0, False, False)
        assert np.isnan(face["landmarks"]).all()


def test_classes_alone_are_all_train_with_a_part_held_out(tmp_path):
    write_class(tmp_path / "raw" / "happy", 11)
    write_class(tmp_path / "raw" / "angry", 20, ending="webp")
    line = build(tmp_path / "raw", tmp_path)
    assert line.startswith("folder_faces/1.0.0: train 28, validation 3 faces. Built")
    found = examples(tmp_path)
    assert {name for name, face in found.items() if face["split"] == "validation"} == {
        "happy/face09",
        "angry/face09",
        "angry/face19",
    }


def test_too_few_images_have_no_validation_split(tmp_path, caplog):
    for emotion in COLOURS:
        write_class(tmp_path / "raw" / emotion, 9)
    with caplog.at_level("WARNING"):
        assert "train 18 faces." in build(tmp_path / "raw", tmp_path)
    assert "no validation split" in caplog.text


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_an_own_validation_folder_is_taken_as_it_is(tmp_path, raw, name):
    shutil.move(raw / "test", raw / name)
    assert ": train 15, validation 3 faces." in build(raw, tmp_path)


def test_labels_txt_orders_the_classes_and_may_name_more(tmp_path, raw):
    shutil.rmtree(raw / "train")  # one's own test set, for a model that has other classes too
    (raw / "labels.txt").write_text("happy\r\n\r\nsurprise\r\nangry\r\n", encoding="utf-8-sig")
    assert ": test 3 faces." in build(raw, tmp_path)
    assert labels(tmp_path) == ["happy", "surprise", "angry"]
    found = examples(tmp_path)
    assert found["test/happy/face00"]["label"] == 0
    assert found["test/angry/Ann/IMG 1"]["label"] == 2


def test_folders_of_several_names_live_in_one_data_dir(tmp_path, raw):
    write_class(tmp_path / "other" / "happy", 1)
    write_image(tmp_path / "other" / "sad" / "x.png", (0, 0, 0))
    assert build(raw, tmp_path, "folder_faces/mine").startswith("folder_faces/mine/1.0.0: train 14")
    build(tmp_path / "other", tmp_path, "folder_faces/other-1")
    assert labels(tmp_path, "folder_faces/mine") == ["angry", "happy"]
    assert labels(tmp_path, "folder_faces/other-1") == ["happy", "sad"]
    assert len(examples(tmp_path, "folder_faces/mine")) == 18
    assert "Already built" in build(raw, tmp_path, "folder_faces/mine")
    with pytest.raises(ValueError, match=r"letters, digits, _ and -\. Received: 'my faces'"):
        build(raw, tmp_path, "folder_faces/my faces")


@pytest.mark.parametrize("name", ["folder_faces", "folder_faces/mine"])
def test_the_pipeline_reads_a_prepared_folder(tmp_path, raw, name):
    data = config.DataConfig(name=name, data_dir=str(tmp_path / "out"), image_size=(16, 16))
    with pytest.raises(FileNotFoundError, match=r"is not prepared in .*Run first:"):
        prepared.open_dataset(data)
    build(raw, tmp_path, name)
    dataset = prepared.open_dataset(data)
    assert dataset.labels == ("angry", "happy")
    (batch,) = pipeline.eval_batches(data, dataset, split="test", batch_size=4)
    assert batch["labels"].shape == (3, 2)
    for image, label in zip(batch["image"].numpy(), batch["label"].numpy(), strict=True):
        colour = COLOURS[dataset.labels[label]]
        np.testing.assert_allclose(image.mean(axis=(0, 1)), colour, atol=4)


F = tfds.features
OTHER_FEATURES = {
    "no id": {"id": None},
    "an id that is a number": {"id": F.Scalar(np.int64)},
    "no label": {"label": None},
    "a label without names": {"label": F.Scalar(np.int64)},
    "deep images": {"image": F.Image(shape=(None, None, 3), dtype=np.uint16)},
    "votes of other classes": {"votes": F.Tensor(shape=(3,), dtype=np.float32)},
    "four landmarks": {"landmarks": F.Tensor(shape=(4, 2), dtype=np.float32)},
    "landmarks in parts": {"landmarks": F.FeaturesDict({"x": np.float32})},
}


@pytest.mark.parametrize("other", OTHER_FEATURES)
def test_a_dataset_of_other_features_is_named_when_it_is_opened(tmp_path, raw, monkeypatch, other):
    data = config.DataConfig(name="folder_faces", data_dir=str(tmp_path / "out"))
    build(raw, tmp_path)
    prepared.open_dataset(data)
    changed = {
        **folder_faces_dataset_builder.face_features(
            image_shape=(None, None, 3), emotions=("angry", "happy")
        ),
        **OTHER_FEATURES[other],
    }
    changed = {name: feature for name, feature in changed.items() if feature is not None}
    monkeypatch.setattr(folder_faces_dataset_builder, "face_features", lambda **_: changed)
    (name,) = OTHER_FEATURES[other]
    message = rf"'folder_faces/1\.0\.0' must have the features .*Received: {name} missing or"
    with pytest.raises(ValueError, match=message):
        prepared.open_dataset(data)


def test_csv_files_give_conditions_and_landmarks(tmp_path, raw):
    (raw / "conditions.csv").write_text(
        "pose_45,id,occlusion,pose_30\n"
        "0,test/happy/face00,glasses,1\n"
        "yes,IMG 1,,true\n"
        "0,train/happy/face00.png,upper,0\n"
    )
    five = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"
    rows = [
        f"id,path,{LANDMARK_HEADER}",
        f"test/angry/Ann/IMG 1,test/angry/Ann/IMG 1.JPG,{five}",
        "test/happy/face01,test/happy/face01.png" + ",nan" * 10,
    ]
    (raw / "landmarks.csv").write_text("\n".join(rows) + "\n")
    line = build(raw, tmp_path)
    assert "test 3 faces; among them occlusion 1, pose_30 2, pose_45 1" in line
    assert "; landmarks: 1 known, 1 not found, 16 without a row. Built" in line
    found = examples(tmp_path)
    flags = {n: (f["occlusion"], f["pose_30"], f["pose_45"]) for n, f in found.items()}
    assert {name: flag for name, flag in flags.items() if any(flag)} == {
        "test/happy/face00": (vocabulary.OCCLUSIONS.index("glasses"), True, False),
        "test/angry/Ann/IMG 1": (0, True, True),
        "train/happy/face00": (vocabulary.OCCLUSIONS.index("upper"), False, False),
    }
    np.testing.assert_allclose(
        found["test/angry/Ann/IMG 1"]["landmarks"].ravel(), np.arange(1, 11) / 10, rtol=1e-6
    )
    assert np.isnan(found["test/happy/face01"]["landmarks"]).all()


def test_the_landmarks_of_a_search_are_joined_by_file_name(tmp_path, raw):
    path = tmp_path / "landmarks.csv"
    path.write_text(f"id,{LANDMARK_HEADER}\nIMG 1{',0.5' * 10}\n")
    assert "landmarks: 1 known, 0 not found, 17 without a row" in build(
        raw, tmp_path, landmarks=str(path)
    )
    build(raw, tmp_path, "folder_faces/mine", landmarks=str(path))
    path.write_text(f"id,{LANDMARK_HEADER}\nface00{',0.5' * 10}\n")
    with pytest.raises(
        ValueError, match=r"folder_faces/mine/1\.0\.0 is already built .* with other landmarks"
    ):
        build(raw, tmp_path, "folder_faces/mine", landmarks=str(path))
    with pytest.raises(ValueError, match=r"landmarks\.csv, row 2: several images .*id='face00'"):
        build(raw, tmp_path, "folder_faces/again", landmarks=str(path))


def test_every_kind_of_image_is_one(tmp_path, raw, caplog):
    folder = raw / "test" / "happy"
    before = len(list(folder.iterdir()))
    picture = Image.new("RGB", (8, 9), (200, 30, 40))
    for ending, kind in (("jfif", "JPEG"), ("ppm", "PPM"), ("jp2", "JPEG2000"), ("GIF", "GIF")):
        picture.save(folder / f"a_{kind}.{ending}", kind)
    picture.save(folder / "Aaron.Eckhart_0001", "PNG")
    picture.save(folder / "Aaron.Eckhart_0002", "AVIF")
    (folder / "notes.txt").write_text("not a face")
    build(raw, tmp_path)
    assert "left out 1 files that are not images, such as 'notes.txt'" in caplog.text
    found = {k: e for k, e in examples(tmp_path).items() if k.startswith("test/happy")}
    assert len(found) == before + 6
    for name in ("Aaron.Eckhart_0001", "Aaron.Eckhart_0002", "a_JPEG", "a_GIF", "a_JPEG2000"):
        assert np.abs(found[f"test/happy/{name}"]["image"].astype(int) - (200, 30, 40)).max() < 4


def outside(raw):
    write_image(raw.parent / "private.png", (0, 0, 0))
    return raw.parent / "private.png"


def test_links_within_the_folder_are_followed(tmp_path, raw):
    pool = raw / ".pool"
    (raw / "train" / "happy").rename(pool)
    (raw / "train" / "happy").mkdir()
    for path in pool.glob("*.png"):
        (raw / "train" / "happy" / path.name).symlink_to(path)
    assert ": train 14, validation 1, test 3 faces." in build(raw, tmp_path)


def test_classes_have_the_same_names_when_they_are_opened_again(tmp_path, raw):
    names = ["Ärger", "a or b", "glücklich", "=1+1", "[red]", "‏ים", "n" * 100]
    for name in names:
        write_image(raw / "train" / name / "x.png", (0, 0, 0))
    build(raw, tmp_path)
    assert labels(tmp_path) == sorted([*names, "angry", "happy"])


CONDITIONS = "id,occlusion,pose_30,pose_45\n"
MISTAKES = {
    "no images": (
        lambda raw: [shutil.rmtree(raw / name) for name in ("train", "test")],
        r"raw must have folders of at least two classes: expected manual_dir/<split>/<class>.*\[\]",
    ),
    "one class": (
        lambda raw: [shutil.rmtree(raw / s / "angry") for s in ("train", "test")],
        r"at least two classes: .*Received: classes=\['happy'\]",
    ),
    "empty folders": (
        lambda raw: (shutil.rmtree(raw / "test"), (raw / "test" / "happy").mkdir(parents=True)),
        r"raw holds no images for the split test: expected",
    ),
    "a misspelt class": (
        lambda raw: (raw / "test" / "happy").rename(raw / "test" / "Happy"),
        r"test/Happy \(test\) is not a class of train \(angry, happy\): rename it, or list all",
    ),
    "a folder that labels.txt does not name": (
        lambda raw: (raw / "labels.txt").write_text("happy\nsad\n"),
        r"angry has the name of no class in .*labels\.txt \(happy, sad\): rename.*'angry'",
    ),
    "a label twice": (
        lambda raw: (raw / "labels.txt").write_text("happy\nangry\nhappy\n"),
        r"labels\.txt, row 3: repeats row 1: delete one of the two\. Received: 'happy'",
    ),
    "a folder beside the splits": (
        lambda raw: write_class(raw / "happy", 1),
        r"raw/happy is not a split, but lies beside the split test.*Move it away",
    ),
    "one split twice": (
        lambda raw: [write_class(raw / name / "happy", 1) for name in ("val", "valid")],
        r"valid and .*val are both the split validation: merge them",
    ),
    "a loose image": (
        lambda raw: write_image(raw / "train" / "x.png", (0, 0, 0)),
        r"train/x\.png is not in the folder of a class \(angry, happy\): move it.*1 such images",
    ),
    "an image of another kind": (
        lambda raw: (raw / "train" / "happy" / "x").write_bytes(HEIC),
        r"happy/x is an image of a kind that cannot be read: save it as JPEG.*Received: HEIC",
    ),
    "a name that is not UTF-8": (
        lambda raw: (raw / "train" / "happy" / os.fsdecode(b"Jos\xe9.png")).touch(),
        r"names of images must be UTF-8: rename.*happy/Jos\\udce9\.png",
    ),
    "two images of one id": (
        lambda raw: write_class(raw / "train" / "happy", 1, ending="jpg"),
        r"face00\.(jpg|png) and face00\.(jpg|png) beside it have the same id: delete or rename",
    ),
    "a class with a line break": (
        lambda raw: write_image(raw / "train" / "sad\nhappy" / "x.png", (0, 0, 0)),
        r"train/sad\nhappy: the name of a class must be one line .*Received: 'sad\\nhappy'",
    ),
    "a class in capitals beside itself": (
        lambda raw: write_image(raw / "train" / "HAPPY" / "x.png", (0, 0, 0)),
        r"differs from .*train/(happy|HAPPY) only in capitals, .*: use one name for both",
    ),
    "a class of letters put together otherwise": (
        lambda raw: [
            write_image(raw / "train" / name / "x.png", (0, 0, 0)) for name in ("\xe9", "e\u0301")
        ],
        r"only in capitals, or in how accents are encoded: use one name for both",
    ),
    "a class that is another by a link": (
        lambda raw: (raw / "train" / "sad").symlink_to(raw / "train" / "happy"),
        r"train/sad is a link to a folder: put the folder itself .*Received: .*train/happy'",
    ),
    "a loop of links": (
        lambda raw: (raw / "train" / "happy" / "again").symlink_to(raw / "train"),
        r"happy/again is a link to a folder",
    ),
    "an image from elsewhere": (
        lambda raw: (raw / "train" / "happy" / "x.png").symlink_to(outside(raw)),
        r"happy/x\.png is a link that leads out of .*raw: put the image .*Rec.*private\.png'",
    ),
    "a link that leads nowhere": (
        lambda raw: (raw / "train" / "happy" / "x.png").symlink_to("nowhere.png"),
        r"happy/x\.png is neither a file nor a link to one: put the image there",
    ),
    "a pipe": (
        lambda raw: os.mkfifo(raw / "train" / "happy" / "x.png"),
        r"happy/x\.png is neither a file nor a link to one",
    ),
    "an image that does not decode": (
        lambda raw: (raw / "train" / "happy" / "face03.png").write_bytes(b"\x89PNG"),
        r"face03\.png \(named by the folder .*happy\) does not decode.*Received: .*4 bytes",
    ),
    "a condition of no image": (
        lambda raw: (raw / "conditions.csv").write_text(CONDITIONS + "test/face,upper,0,0\n"),
        r"conditions\.csv, row 2: no face of this dataset has this id: .*id='test/face'",
    ),
    "a missing column": (
        lambda raw: (raw / "conditions.csv").write_text("id,occlusion,pose_30\n"),
        r"conditions\.csv, row 1: the header lacks pose_45: write it as id,occlusion,pose_30,pose",
    ),
    "an unknown occlusion": (
        lambda raw: (raw / "conditions.csv").write_text(CONDITIONS + "IMG 1,hat,0,0\n"),
        r"conditions\.csv, row 2: occlusion must be one of none, upper.*occlusion='hat'",
    ),
    "a pose in degrees": (
        lambda raw: (raw / "conditions.csv").write_text(CONDITIONS + "IMG 1,none,35,0\n"),
        r"row 2: pose_30 must be 1 or 0 \(more than 30 degrees or not\): .*pose_30='35'",
    ),
    "45 but not 30": (
        lambda raw: (raw / "conditions.csv").write_text(CONDITIONS + "IMG 1,none,0,1\n"),
        r"row 2: a face turned by more than 45 degrees is also turned by more than 30",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_folders_is_named_and_leaves_no_dataset(tmp_path, raw, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(raw)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(raw, tmp_path)
    builds.assert_nothing_built("folder_faces", tmp_path / "out")
