"""The quickstart as a user runs it, on fewer faces: train, evaluate, export, predict, resume."""

import json

import cv2
import numpy as np
import pytest

import ran_tf
from tests.fixtures.commands import run_python


def run(module, *arguments, cwd):
    return run_python("-m", f"ran_tf.launch.{module}", *arguments, cwd=cwd, timeout=1800).stdout


@pytest.fixture(scope="module")
def workdir(synthetic_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    arguments = (
        "--flagfile=launch/quickstart.flags",
        f"--data_dir={synthetic_dir}",
        "--workdir=run",
        "--import=tests.fixtures.tiny_backbone",
        "--backbone=tiny",
        "--region_size=32",
        "--num_regions=6",
        "--epochs=1",
        "--train_split=train[:64]",
        "--validation_split=validation[:32]",
    )
    first = run("train", *arguments, cwd=folder)
    assert "best epoch 1" in first and "export: " in first
    return folder / "run"


def test_what_a_run_leaves(workdir):
    names = {path.name for path in workdir.iterdir()}
    assert names >= {"run.json", "metrics.csv", "best.weights.h5", "card.json", "checkpoints"}
    start = json.loads((workdir / "run.json").read_text())["starts"][0]
    assert start["flags"]["epochs"] == 1 and start["dataset"].startswith("synthetic_faces")
    assert start["flags"]["seed"] == 0 and start["versions"]["tensorflow"]
    assert list((workdir / "tensorboard").glob("events*"))


def test_the_report(workdir):
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert report["split"] == "test" and len(report["labels"]) == 8
    counts = {name: subset["count"] for name, subset in report["subsets"].items()}
    assert counts == {"all": 112, "occlusion": 64, "pose_30": 32, "pose_45": 16}
    for subset in report["subsets"].values():
        confusion = np.array(subset["confusion"])
        assert confusion.shape == (8, 8) and confusion.sum() == subset["count"]
        low, high = subset["accuracy_ci95"]
        assert low <= subset["accuracy"] <= high
    assert (workdir / "report" / "report.md").read_text().startswith("#")


def test_the_export_predicts(workdir, tmp_path):
    face = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), face)
    said = run("predict", f"--model={workdir}/export", "face.png", "--json=-", cwd=tmp_path)
    (served,) = json.loads(said)
    (trained,) = ran_tf.Predictor(workdir)([face])
    assert len(served["weights"]) == 6
    np.testing.assert_allclose(
        list(served["probabilities"].values()), trained.probabilities, atol=1e-3
    )


@pytest.mark.large
def test_drawn_faces_are_learnt_and_occlusion_hurts(tmp_path):
    """The whole quickstart with the whole-face model: what the drawn dataset promises."""
    arguments = ("--flagfile=launch/quickstart.flags", "--num_regions=1", "--workdir=run")
    run("train", *arguments, f"--data_dir={tmp_path}/tfds", cwd=tmp_path)
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    unhidden, turned = report["occlusions"]["none"], report["subsets"]["pose_30"]
    # No drawn face is both turned and occluded.
    right = unhidden["accuracy"] * unhidden["count"] - turned["accuracy"] * turned["count"]
    clean = right / (unhidden["count"] - turned["count"])
    assert clean >= 0.85
    assert report["subsets"]["occlusion"]["accuracy"] <= clean - 0.10
