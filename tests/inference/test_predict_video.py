"""A face that moves through a video is found, followed and classified in every frame asked for."""

import collections
import csv
import io
import json

import cv2
import numpy as np
import pytest
import skimage.data

import ran_tf
from ran_tf.exports import export
from ran_tf.inference import video
from tests.exports.test_export import LinearModel, make_card
from tests.fixtures.commands import run_python
from tests.fixtures.moving_faces import crossing
from tests.fixtures.video_files import write_clip

RATE, SECONDS, SIZE = 8, 2, (240, 320)
# The astronaut's face as blazeface finds it in the photo: y0, x0, y1, x1.
FACE = np.array([67, 177, 174, 273])


def scale_and_shift(seconds: float) -> np.ndarray:
    """f32[2, 3] from the photo's x, y to the frame's: the face grows and goes to the left."""
    scale = 0.8 + 0.2 * seconds
    return np.float32([[scale, 0, -40 - 60 * seconds], [0, scale, -20]])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    height, width = SIZE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (width, height))
    assert writer.isOpened()
    photo = skimage.data.astronaut()[..., ::-1]
    for i in range(RATE * SECONDS):
        writer.write(cv2.warpAffine(photo, scale_and_shift(i / RATE), (width, height)))
    writer.release()
    return path


def face_at(seconds: float) -> np.ndarray:
    """Where the face is by construction: y0, x0, y1, x1."""
    corners = FACE.reshape(2, 2)[:, ::-1] @ scale_and_shift(seconds)[:, :2].T
    return (corners + scale_and_shift(seconds)[:, 2])[:, ::-1].ravel()


def check_rows(rows: list[dict], *, times: list[float]) -> None:
    """One face a frame, at its place."""
    assert [row["seconds"] for row in rows] == pytest.approx(times, abs=1e-3)
    assert [row["person"] for row in rows] == [1] * len(times)
    for row in rows:
        box, want = np.array(row["box"]), face_at(row["seconds"])
        # A detector's frame breathes by a tenth of the face.
        np.testing.assert_allclose(box, want, atol=0.12 * (want[2] - want[0]))
        assert row["score"] > 0.9


def test_frames_have_the_colours_of_the_photo(clip):
    height, width = SIZE
    want = cv2.warpAffine(skimage.data.astronaut(), scale_and_shift(1), (width, height))
    _, frame = video.read_frames(clip, every=1)
    assert frame.seconds == pytest.approx(1)
    # Red and blue change places: 40.
    assert np.abs(frame.image.astype(float) - want).mean() < 8


def test_faces_are_followed(clip, tmp_path):
    export.write_export(LinearModel(), make_card(), export_dir=tmp_path / "export", check=False)
    predictor = ran_tf.Predictor(tmp_path / "export")
    rows = list(
        ran_tf.predict_files(
            predictor, [clip], align=True, every=0.75, annotate=tmp_path / "faces", batch_size=2
        )
    )
    check_rows(rows, times=[0, 0.75, 1.5])
    assert {row["annotated"] for row in rows} == {str(tmp_path / "faces" / "clip.mp4")}
    drawn = list(video.read_frames(rows[0]["annotated"], every=0))
    assert [frame.seconds for frame in drawn] == pytest.approx([0, 0.75, 1.5], abs=1e-3)
    assert drawn[0].image.shape == (*SIZE, 3)


@pytest.mark.large
def test_the_command_with_a_packaged_network(clip, tmp_path):
    """JSON and CSV say the same, and the pictures are there."""

    def predict(*flags: str) -> str:
        command = ("-m", "ran_tf.launch.predict", "--model=ran_faceres_ferplus")
        return run_python(*command, "--align", "--every=0.5", *flags, clip).stdout

    rows = json.loads(predict("--json=-", f"--annotate={tmp_path}", f"--timeline={tmp_path}/a.svg"))
    check_rows(rows, times=[0, 0.5, 1.0, 1.5])
    assert {row["label"] for row in rows} == {"happiness"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "clip.mp4"]
    assert "person 1" in (tmp_path / "a.svg").read_text()
    table = list(csv.DictReader(io.StringIO(predict("--csv=-"))))
    for row, line in zip(rows, table, strict=True):
        assert float(line["seconds"]) == row["seconds"] and line["label"] == row["label"]
        for key, column in (("probabilities", "p"), ("smoothed", "s")):
            for label, probability in row[key].items():
                assert float(line[f"{column}_{label}"]) == pytest.approx(probability, abs=1e-5)
        for i, weight in enumerate(row["weights"]):
            assert float(line[f"w_{i}"]) == pytest.approx(weight, abs=1e-5)


@pytest.mark.large
def test_two_people_stay_who_they_are(tmp_path):
    """Through a crossing, an exit, a change of size, a cut, and landmarks found upside down."""
    path = write_clip(
        *(tmp_path / "two.mp4", [crossing(i / 25) for i in range(14 * 25)]),
        codec="libx264",
        rate=25,
        size=(640, 360),
    )
    frames = list(ran_tf.Predictor("ran_faceres_shared_ferplus").video(path, every=0.2))
    assert len(frames) == 70 and len(frames[-1].people) == 2
    by_label = {person.person: collections.Counter() for person in frames[-1].people}
    for frame in frames:
        for person in frame.people:
            if person.face:
                by_label[person.person][person.face.prediction.label] += 1
    collins, hopper = sorted(by_label.values(), key=lambda seen: -seen["happiness"])
    # She smiles throughout; the other never does.
    assert collins.keys() == {"happiness"} and collins.total() >= 50
    assert "happiness" not in hopper and hopper.total() >= 55
