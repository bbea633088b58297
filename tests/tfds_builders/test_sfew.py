"""SFEW: the layouts in which its archives are unpacked, and what is said where they are wrong."""

import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from ran_tf.data.prepare import prepare
from tests.fixtures import builds

FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
SIZE = (18, 14)  # height and width, as 181x143
LAYOUTS = {
    "as published": ("Train_Aligned_Faces", "Val_Aligned_Faces"),
    "new archive": ("Train_Aligned_Faces", "Val_Aligned_Faces_new"),
    "archive in its own folder": (
        "Train_Aligned_Faces/Train_Aligned_Faces",
        "Val_Aligned_Faces_new/Val_Aligned_Faces_new",
    ),
    "in plain folders": ("Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces_new"),
    "frames": ("Train", "Val"),
}


def write(root, layout="as published"):
    """Two train faces and a validation face of each emotion, each with its own grey."""
    train, validation = LAYOUTS[layout]
    for number, emotion in enumerate(FOLDERS):
        for folder, film in ((train, "Airheads"), (train, "Dejavu"), (validation, "Frostnixon")):
            path = root / folder / emotion / f"{film}_000519240_0000000{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((*SIZE, 3), 10 * number, np.uint8))
        (path.parent / ".DS_Store").write_bytes(b"?")
    return root


def build(raw, tmp_path, **flags):
    return prepare(dataset="sfew", manual_dir=str(raw), data_dir=str(tmp_path / "out"), **flags)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_faces(tmp_path, layout):
    line = build(write(tmp_path / "raw", layout), tmp_path)
    assert line.startswith("sfew/1.0.0: train 14, validation 7 faces. Built in ")
    found = builds.examples(tfds.builder("sfew", data_dir=tmp_path / "out"))
    for number, emotion in enumerate(FOLDERS):
        names = [
            f"{split}/{emotion.lower()}/{film}_000519240_0000000{number}"
            for split, film in (
                ("train", "Airheads"),
                ("train", "Dejavu"),
                ("validation", "Frostnixon"),
            )
        ]
        for name in names:
            face = found.pop(name)
            assert face["label"] == number
            assert (face["image"] == np.full((*SIZE, 3), 10 * number)).all()
            assert (face["occlusion"], face["pose_30"], face["pose_45"]) == (0, False, False)
            assert np.isnan(face["landmarks"]).all()
    assert not found


def test_aligned_faces_are_preferred_to_frames(tmp_path):
    raw = write(tmp_path / "raw", "in plain folders")
    write(raw, "frames")
    (raw / "Train" / "Angry" / "Airheads_000519240_00000000.png").write_bytes(b"?")
    assert "train 14, validation 7 faces" in build(raw, tmp_path)


def test_landmarks_are_joined_by_path_or_file_name(tmp_path):
    raw = write(tmp_path / "raw", "in plain folders")
    header = ",".join(f"{p}_{axis}" for p in vocabulary.LANDMARKS for axis in "xy")
    names = (
        "Train/Train_Aligned_Faces/Sad/Dejavu_000519240_00000005",
        "Frostnixon_000519240_00000006",
    )
    rows = "".join(f"{name}{',0.5' * 10}\n" for name in names)
    (raw / "landmarks.csv").write_text(f"id,{header}\n{rows}")
    assert "; landmarks: 2 known, 0 not found, 19 without a row." in build(raw, tmp_path)
    found = builds.examples(tfds.builder("sfew", data_dir=tmp_path / "out"))
    known = {name for name, face in found.items() if (face["landmarks"] == 0.5).all()}
    assert known == {
        "train/sad/Dejavu_000519240_00000005",
        "validation/surprise/Frostnixon_000519240_00000006",
    }


TRAIN, VAL = "Train_Aligned_Faces", "Val_Aligned_Faces"
MISTAKES = {
    "a split still packed": (
        lambda raw: shutil.rmtree(raw / VAL),
        r"raw holds no Val_Aligned_Faces/ \(or Val/\) with the folders Angry, .*manual_dir=",
    ),
    "an emotion still packed": (
        lambda raw: shutil.rmtree(raw / TRAIN / "Fear"),
        r"Train_Aligned_Faces/Fear is missing or has no images: unpack it\. Received: train=",
    ),
    "another folder": (
        lambda raw: shutil.copytree(raw / TRAIN / "Sad", raw / TRAIN / "Contempt"),
        r"Contempt is not an emotion of SFEW \(Angry, .*: rename it, or move it away",
    ),
    "an emotion twice": (
        lambda raw: shutil.copytree(raw / TRAIN / "Happy", raw / TRAIN / "happy"),
        r"(H|h)appy is a second folder of the emotion happy: merge the two\. Received: train=",
    ),
    "an emotion that is another by a link": (
        lambda raw: (
            shutil.rmtree(raw / TRAIN / "Sad"),
            (raw / TRAIN / "Sad").symlink_to(raw / TRAIN / "Happy"),
        ),
        r"Train_Aligned_Faces/Sad is a link to a folder",
    ),
    "a split twice": (
        lambda raw: shutil.copytree(raw / VAL, raw / f"{VAL}_new"),
        r"holds the split validation more than once: .*Val_Aligned_Faces, .*Val_Aligned_Faces_new",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_folders_is_named_and_leaves_no_dataset(tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    raw = write(tmp_path / "raw")
    spoil(raw)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(raw, tmp_path)
    builds.assert_nothing_built("sfew", tmp_path / "out")
