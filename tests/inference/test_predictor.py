"""The Predictor gives what the model gives, for exports and work directories; the command lists."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import ran_tf
from ran_tf.exports import export
from ran_tf.faces import Face, align, detect
from ran_tf.images import decoding
from tests.exports.test_export import (
    LinearModel,
    expected_outputs,
    make_card,
    make_model,
    random_faces,
)
from tests.fixtures.commands import run_python


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    for _ in range(2):
        export.write_export(LinearModel(), make_card(), export_dir=folder, check=False)
    return folder


def check_prediction(prediction, expected: dict, i: int) -> None:
    labels = ran_tf.LABELS["ferplus"]
    np.testing.assert_allclose(prediction.probabilities, expected["probabilities"][i], atol=1e-5)
    np.testing.assert_allclose(prediction.weights, expected["weights"][i], atol=1e-5)
    np.testing.assert_array_equal(prediction.boxes, ran_tf.fixed_boxes(6))
    assert prediction.label == labels[int(np.argmax(expected["probabilities"][i]))]
    assert prediction.probability == prediction.probabilities.max()


def test_workdir_and_export_agree_with_the_model(workdir, from_workdir, tmp_path):
    faces = random_faces(5, 32, 32)
    linear = LinearModel()
    export.write_export(linear, make_card(), export_dir=tmp_path, check=False)
    from_export = ran_tf.Predictor(tmp_path, batch_size=2)
    for predictor, model in ((from_workdir, make_model()), (from_export, linear)):
        assert predictor.labels == ran_tf.LABELS["ferplus"]
        predictions = predictor(faces)
        assert len(predictions) == 5
        expected = expected_outputs(model, faces, ran_tf.fixed_boxes(6))
        for i, prediction in enumerate(predictions):
            check_prediction(prediction, expected, i)


def test_sizes_share_a_batch_and_keep_their_order(from_workdir):
    faces = [random_faces(*shape, seed=i) for i, shape in enumerate([(32, 32), (50, 20), (1, 1)])]
    together = from_workdir(faces)
    for face, prediction in zip(faces, together, strict=True):
        alone = from_workdir(face[None])[0]
        np.testing.assert_allclose(prediction.probabilities, alone.probabilities, atol=1e-5)
    assert len({tuple(p.probabilities) for p in together}) == 3
    assert from_workdir([]) == []


def test_a_pickle_is_loaded_where_it_is_used(workdir, from_workdir):
    faces = random_faces(2, 40, 40)
    packed = pickle.dumps(from_workdir)
    assert len(packed) < 1000
    there = pickle.loads(packed)
    assert there.labels == from_workdir.labels
    for got, want in zip(there(faces), from_workdir(faces), strict=True):
        np.testing.assert_array_equal(got.probabilities, want.probabilities)
    with pytest.raises(AttributeError, match="no attribute 'label'"):
        _ = there.label


FORKED = """
import multiprocessing, sys
import numpy as np
import ran_tf

def main():
    predictor = ran_tf.Predictor(sys.argv[1])
    faces = [np.zeros((40, 40, 3), np.uint8)]
    (here,) = predictor(faces)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        asks = ((predictor, faces), (predictor.faces, faces), (ran_tf.Predictor, sys.argv[1]))
        for ask, given in asks:
            try:
                pool.apply_async(ask, (given,)).get(timeout=60)
            except RuntimeError as error:
                print(error)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (there,) = pool.apply_async(predictor, (faces,)).get(timeout=120)
    print(there.label == here.label)

if __name__ == "__main__":
    main()
"""


def test_a_fork_is_told_and_spawn_works(export_dir, tmp_path):
    """As `multiprocessing` and gunicorn's --preload fork: it would hang."""
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    run = run_python(script, export_dir)
    *told, works = run.stdout.strip().splitlines()
    assert len(told) == 3 and all("multiprocessing.get_context('spawn')" in line for line in told)
    assert works == "True"


def test_newest_or_given_version(export_dir):
    faces = random_faces(1, 8, 8)
    newest, first = (ran_tf.Predictor(d)(faces)[0] for d in (export_dir, export_dir / "1"))
    second = ran_tf.Predictor(export_dir / "2")(faces)[0]
    np.testing.assert_array_equal(newest.probabilities, second.probabilities)
    assert np.abs(newest.probabilities - first.probabilities).max() > 1e-4


def test_folders_that_are_no_model(tmp_path, workdir):
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        ran_tf.Predictor(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="finished epoch"):
        ran_tf.Predictor(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("")
    with pytest.raises(FileNotFoundError, match="not an export of ran_tf"):
        ran_tf.Predictor(tmp_path)
    with pytest.raises(ValueError, match="batch_size=0"):
        ran_tf.Predictor(workdir, batch_size=0)


def test_the_command(export_dir, tmp_path):
    """Folder and file; a bad file is listed, the others are answered, the status is 1."""
    (tmp_path / "more").mkdir()
    for name in ("a.png", "b[red].jpg", "more/c.BMP"):
        cv2.imwrite(str(tmp_path / name), random_faces(20, 20))
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("not looked at")
    command = ("-m", "ran_tf.launch.predict", f"--model={export_dir}", "--json=-")
    result = run_python(*command, tmp_path, tmp_path / "missing*.png", code=1)
    rows = {row["path"].removeprefix(f"{tmp_path}/"): row for row in json.loads(result.stdout)}
    broken = ["broken.mp4", "broken.png", "missing*.png"]
    assert sorted(rows) == ["a.png", "b[red].jpg", *broken, "more/c.BMP"]
    assert "3 of 6 failed" in result.stderr and "VIDEOIO" not in result.stderr
    for name, error in zip(broken, ["not a video", "not an image", "no file"], strict=True):
        assert rows[name]["error"].startswith(error)
        assert f"{name}: {error}" in result.stderr
    assert list(rows["a.png"]["probabilities"]) == list(ran_tf.LABELS["ferplus"])
    direct = ran_tf.Predictor(export_dir)([tmp_path / "a.png"])[0]
    assert rows["a.png"]["label"] == direct.label


SMALL = np.float32([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]])
LARGE = SMALL * 2 + 30


@pytest.fixture
def known_faces(monkeypatch, from_workdir):
    """A detector that finds a small and a large face in photos 90 pixels high, dies of photos that
    are 13 high and finds none in others; with each call, how many photos it got."""
    calls = []

    def create_detector(settings):
        assert settings.name == "blazeface"
        found = [
            Face(box=np.float32([0, 0, s, s]), score=score, landmarks=points)
            for s, score, points in ((20, 1.0, SMALL), (40, 0.9, LARGE))
        ]

        def search(photos):
            calls.append(len(photos))
            if any(len(photo) == 13 for photo in photos):
                raise RuntimeError("too odd")
            return [found if len(photo) == 90 else [] for photo in photos]

        return search

    monkeypatch.setattr(detect, "create_detector", create_detector)
    monkeypatch.setattr(from_workdir, "_detect", None)
    return calls


def cut_by_hand(photo, landmarks):
    return align.align_face(photo, landmarks, size=32, margin=0.2, drop=0.1).image


def test_align_takes_the_largest_face(workdir, known_faces):
    """The detector's part is known here; the prediction is that of the face cut out by hand."""
    photo = random_faces(90, 120)
    predictor = ran_tf.Predictor(workdir, align=True)
    by_hand = cut_by_hand(photo, LARGE)
    expected = expected_outputs(make_model(), by_hand[None], ran_tf.fixed_boxes(6))
    check_prediction(predictor([photo])[0], expected, 0)
    with pytest.raises(
        ValueError, match=r"images\[1\]`: the detector found no face.*shape=\(9, 9, 3\)"
    ):
        predictor([photo, random_faces(9, 9)])
    good, bad = predictor([photo, random_faces(9, 9)], on_error="return")
    check_prediction(good, expected, 0)
    assert "found no face" in bad.error


def test_align_takes_no_glass_for_the_largest_face(workdir, monkeypatch):
    """A detector that takes a glass for a face, with the least of doubt and the largest box."""
    found = [
        Face(box=np.float32([0, 0, s, s]), score=score, landmarks=points)
        for s, score, points in ((20, 0.98, SMALL), (80, 0.848, LARGE))
    ]
    monkeypatch.setattr(detect, "create_detector", lambda settings: lambda photos: [found])
    photo = random_faces(90, 120)
    by_hand = cut_by_hand(photo, SMALL)
    expected = expected_outputs(make_model(), by_hand[None], ran_tf.fixed_boxes(6))
    check_prediction(ran_tf.Predictor(workdir, align=True)([photo])[0], expected, 0)


def test_all_faces_of_photos(from_workdir, known_faces):
    """Largest first, with box and pixels; a photo that kills the detector harms no other."""
    photos = [random_faces(90, 120, seed=i) for i in range(3)]
    odd = random_faces(13, 13)
    items = [photos[0], odd, b"no image", random_faces(9, 9), photos[1], photos[2]]
    first, died, unreadable, nobody, *others = from_workdir.faces(items, on_error="return")
    assert died.error == "the detector failed on it: too odd"
    assert unreadable.error.startswith("not an image")
    assert nobody == []
    for photo, faces in zip(photos, [first, *others], strict=True):
        assert [face.score for face in faces] == [0.9, 1.0]
        assert [face.box.tolist() for face in faces] == [[0, 0, 40, 40], [0, 0, 20, 20]]
        cut = np.stack([cut_by_hand(photo, points) for points in (LARGE, SMALL)])
        np.testing.assert_array_equal(np.stack([face.image for face in faces]), cut)
        expected = expected_outputs(make_model(), cut, ran_tf.fixed_boxes(6))
        for i, face in enumerate(faces):
            check_prediction(face.prediction, expected, i)
    with pytest.raises(ValueError, match=r"`photos\[1\]`: the detector failed on it: too odd"):
        from_workdir.faces([photos[0], odd])
    with pytest.raises(ValueError, match=r"`photos\[1\]`: not an image"):
        from_workdir.faces([photos[0], b""])


def test_large_images_are_not_held_together(from_workdir, known_faces, monkeypatch):
    monkeypatch.setattr("ran_tf.images.photos.MAX_HELD_PIXELS", 90 * 120)
    from_workdir.faces([random_faces(90, 120)] * 3 + [random_faces(30, 30)] * 5)
    # A batch of two at most; a photo that reaches the limit goes alone.
    assert known_faces == [1, 1, 1, 2, 2, 1]


@pytest.mark.large
def test_the_first_photo_of_the_documentation(tmp_path):
    """Its commands print what it says, and leave the picture."""
    pytest.importorskip("skimage")
    text = (pathlib.Path(__file__).parents[2] / "docs" / "index.md").read_text()
    commands, said = re.search(
        r"```sh\n([^`]*--align --annotate[^`]*)```\s+```text\n(.*?)```", text, re.S
    ).groups()
    done = subprocess.run(
        ["bash", "-ec", commands.replace("python ", f"{sys.executable} ")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(ran_tf.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    # The rule below the head is left out there.
    shown = [line.split() for line in done.stdout.splitlines() if line.strip(" ─")]
    assert shown == [line.split() for line in said.splitlines()]
    picture = decoding.read_image(tmp_path / "faces" / "astronaut_face0.png")
    assert picture.shape[1] > 800
