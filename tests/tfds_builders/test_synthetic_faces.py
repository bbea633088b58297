"""Synthetic faces: the same everywhere, flagged as drawn, and an expression nowhere else."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf.vocabulary import LABELS, OCCLUSIONS
from tfds_builders.synthetic_faces import drawing, person, synthetic_faces_dataset_builder
from tfds_builders.synthetic_faces.canvas import Head

make_example = synthetic_faces_dataset_builder.make_example
KINDS = synthetic_faces_dataset_builder.KINDS
TINY = {"train": {"clean": 8}, "validation": {"clean": 8}, "test": dict.fromkeys(KINDS, 8)}


class SyntheticFacesTest(tfds.testing.DatasetBuilderTestCase):
    """What TFDS asks of every builder, on a few faces."""

    DATASET_CLASS = synthetic_faces_dataset_builder.Builder
    EXAMPLE_DIR = "."  # nothing is read
    SPLITS = {"train": 8, "validation": 8, "test": 56}  # noqa: RUF012, TFDS' own form

    @pytest.fixture(autouse=True)
    def _few_faces(self, monkeypatch):
        monkeypatch.setattr(synthetic_faces_dataset_builder, "SPLITS", TINY)


def draw(emotion="neutral", *, seed=0, **kwargs):
    return drawing.draw_face(np.random.default_rng(seed), emotion=emotion, **kwargs)


def test_splits_hold_what_was_asked():
    plans = {split: synthetic_faces_dataset_builder.plan(split) for split in TINY}
    assert len(plans["train"]) == 4000
    assert len(plans["validation"]) == 800
    counts = {kind: plans["test"].count(kind) for kind in KINDS}
    assert min(counts.values()) >= 500
    # Every kind of test face shows every emotion equally often.
    emotions = {kind: [] for kind in KINDS}
    for index, kind in enumerate(plans["test"]):
        emotions[kind].append(index % 8)
    for shown in emotions.values():
        assert len(set(np.bincount(shown, minlength=8))) == 1


def test_metadata_counts_the_flags_of_the_test_split():
    builder = tfds_builders.DATASETS["synthetic_faces"](data_dir="unused")
    assert builder.info.metadata["subsets"] == {
        "occlusion": 4 * 504,
        "pose_30": 2 * 504,
        "pose_45": 504,
    }
    specs = pytest.importorskip("ran_tf.vocabulary")
    assert tuple(builder.info.features["label"].names) == specs.LABELS["synthetic_faces"]


@pytest.mark.parametrize("kind", KINDS)
def test_flags_say_what_was_drawn(kind):
    for index in range(8):
        example = make_example("test", index=index, kind=kind)
        assert example["label"] == LABELS["ferplus"][index]
        assert example["occlusion"] == (kind if kind in OCCLUSIONS else "none")
        assert example["pose_30"] == (kind in ("beyond_30", "beyond_45"))
        assert example["pose_45"] == (kind == "beyond_45")
        assert example["image"].shape == (64, 64, 3)
        assert example["image"].dtype == np.uint8
        assert example["landmarks"].shape == (5, 2)


def test_a_face_is_a_function_of_split_and_index():
    first = make_example("test", index=3, kind="glasses")
    make_example("train", index=0, kind="clean")
    again = make_example("test", index=3, kind="glasses")
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["landmarks"], again["landmarks"])
    for split, index in (("train", 3), ("test", 11)):
        other = make_example(split, index=index, kind="glasses")["image"].astype(int)
        assert np.abs(other - first["image"]).mean() > 10


def changed(first, second, *, least=8):
    """Where two drawings of one person in one light differ, as (y, x) in 0..1."""
    difference = np.abs(first["image"].astype(int) - second["image"]).max(axis=-1)
    return np.argwhere(difference > least) / drawing.SIZE


@pytest.mark.parametrize("emotion", LABELS["ferplus"][1:])
def test_an_emotion_changes_brows_eyes_and_mouth_alone(emotion):
    neutral, felt = draw(seed=5), draw(emotion, seed=5)
    where = changed(neutral, felt)
    assert len(where) > 10
    left_eye, right_eye, _, left_mouth, right_mouth = neutral["landmarks"]
    eyes = abs(where[:, 0] - (left_eye[1] + right_eye[1]) / 2) < 0.25
    mouth = abs(where[:, 0] - (left_mouth[1] + right_mouth[1]) / 2) < 0.2
    assert (eyes | mouth).all()
    across = (where[:, 1] > left_eye[0] - 0.2) & (where[:, 1] < right_eye[0] + 0.2)
    assert across.all()


def test_no_two_emotions_are_drawn_alike():
    expressions = [dataclasses.astuple(person.EXPRESSIONS[name]) for name in LABELS["ferplus"]]
    assert tuple(person.EXPRESSIONS) == LABELS["ferplus"]
    assert len(set(expressions)) == 8


@pytest.mark.parametrize("occlusion", OCCLUSIONS[1:])
def test_an_occlusion_hides_its_part(occlusion):
    for seed in range(6):
        bare, covered = draw("fear", seed=seed), draw("fear", seed=seed, occlusion=occlusion)
        np.testing.assert_array_equal(bare["landmarks"], covered["landmarks"])
        where = changed(bare, covered)
        assert len(where) > 60
        left_eye, right_eye, _, left_mouth, right_mouth = bare["landmarks"][:, ::-1]
        eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
        above_eyes = (where[:, 0] < eyes[0]).mean()
        lower_half = (where[:, 0] > (eyes + mouth)[0] / 2).mean()
        image_right = (where[:, 1] > (eyes + mouth)[1] / 2).mean()
        if occlusion == "upper":
            assert above_eyes > 0.8
        elif occlusion == "glasses":
            assert 0.3 < above_eyes < 0.7
            assert lower_half < 0.1
        elif occlusion == "lower":
            assert lower_half > 0.9
        else:  # a hand on one cheek
            assert max(image_right, 1 - image_right) > 0.9


def test_a_turned_head_moves_as_an_ellipsoid():
    head = Head(centre=(10.0, 20.0), half_width=4.0, half_height=5.0, yaw=math.pi / 6, roll=0.0)
    # At the widest height the middle of the face moves by sin(30 degrees) of the half width.
    np.testing.assert_allclose(head.surface([(0, 0)]), [[12.0, 20.0]])
    # A point 30 degrees off the middle comes to 60 degrees; 30 degrees on the other side to 0.
    left, right = head.surface([(-0.5, 0), (0.5, 0)])
    np.testing.assert_allclose(left, [10.0, 20.0], atol=1e-9)
    np.testing.assert_allclose(right, [10 + 4 * math.sqrt(3) / 2, 20.0])
    # What is turned out of sight stays at the rim.
    np.testing.assert_allclose(head.surface([(0.99, 0)]), [[14.0, 20.0]])


def test_turning_shifts_and_foreshortens_the_face():
    frontal, turned = (draw(seed=2, yaw=yaw)["landmarks"] for yaw in (0, 50))
    assert turned[2, 0] - frontal[2, 0] > 0.15  # the nose goes to the image's right
    eyes = [points[1, 0] - points[0, 0] for points in (frontal, turned)]
    assert 0 < eyes[1] < 0.8 * eyes[0]
    mirrored = draw(seed=2, yaw=-50)["landmarks"]
    assert mirrored[2, 0] - frontal[2, 0] < -0.15


def test_landmarks_lie_as_in_a_face():
    for index in range(40):
        points = make_example("train", index=index, kind="clean")["landmarks"]
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        assert (points > 0).all()
        assert (points < 1).all()
