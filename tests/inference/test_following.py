"""The people of videos and cameras, frame after frame, on squares whose places are known."""

import math
import pathlib
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

from ran_tf.checks import InvalidArgument
from ran_tf.config import VideoConfig
from ran_tf.inference import appearance, camera, following, video
from ran_tf.inference.pictures import Pictures
from ran_tf.inference.video_rows import predict_people
from tests.exports.test_export import make_card
from tests.fixtures.moving_faces import LABELS, Squares, describe_squares
from tests.fixtures.video_files import write_clip

RED, GREEN = (220, 30, 30), (30, 220, 30)
SIZE = (160, 96)


def picture(**squares) -> np.ndarray:
    """u8[96, 160, 3]: a square of each colour with its left edge at a column, if there is one."""
    image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    for colour, left in squares.items():
        if left is not None:
            image[30:62, left : left + 32] = {"red": RED, "green": GREEN}[colour]
    return image


def scene(i: int) -> np.ndarray:
    """Of 40, ten a second: nobody; red; both, who cross; green alone; both."""
    if i < 5:
        return picture()
    if i < 10:
        return picture(red=10 + 2 * i)
    if 20 <= i < 35:
        return picture(green=100 - 2 * i)
    return picture(green=100 - 2 * i, red=10 + 2 * i)


def follow(source, **settings):
    predictor = settings.pop("predictor", Squares())
    return following.follow_people(
        predictor,
        source,
        config=VideoConfig(**settings),
        batch_size=4,
        describe=describe_squares,
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    return write_clip(path, [scene(i) for i in range(40)], codec="libx264", size=SIZE)


def test_a_frame_has_all_who_are_known_by_then(clip):
    frames = list(follow(clip, every=0.1))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 10 for i in range(40)])
    for i, frame in enumerate(frames):
        assert frame.image.shape == (96, 160, 3) and frame.error is None
        seen = {p.person: p.face for p in frame.people if p.face}
        assert [p.person for p in frame.people] == ([] if i < 5 else [1] if i < 10 else [1, 2])
        assert set(seen) == ((set() if i < 5 else {1}) | ({2} if i >= 10 else set())) - (
            {1} if 20 <= i < 35 else set()
        )
        for number, left in ((1, 10 + 2 * i), (2, 100 - 2 * i)):
            if number in seen and not 10 <= i < 40:  # apart
                assert abs(seen[number].box[1] - left) < 3
        for person in frame.people:
            assert (person.face is None) == (person.smoothed is None)


def test_smoothing_is_exponential_in_time_whatever_the_frames(tmp_path):
    """Against its sum: each frame's share decays by the time that passed since."""
    times = [0, 1, 2, 5, 6, 12, 13, 14]
    path = tmp_path / "a.mkv"
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(red=10 + 10 * (i % 3)), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames = list(follow(path, every=0, smooth=0.5))
    assert [f.seconds for f in frames] == pytest.approx([t / 10 for t in times], abs=1e-3)
    (raw,) = (
        [p.face.prediction.probabilities for p in ps]
        for ps in zip(*(f.people for f in frames), strict=True)
    )
    want, before = raw[0], 0.0
    for frame, probabilities in zip(frames, raw, strict=True):
        kept = math.exp(-(frame.seconds - before) / 0.5) if frame.seconds else 0.0
        want, before = kept * want + (1 - kept) * probabilities, frame.seconds
        np.testing.assert_allclose(frame.people[0].smoothed, want, atol=1e-5)
    assert np.ptp([r[0] for r in raw]) > 0.1
    unsmoothed = [f.people[0].smoothed for f in follow(path, every=0, smooth=0)]
    np.testing.assert_allclose(unsmoothed, raw, atol=1e-6)


class Failing(Squares):
    """Fails on every second image."""

    def __init__(self):
        self.asked = 0

    def faces(self, images, *, on_error):
        from ran_tf.inference.prediction import Failure

        answers = []
        for answer in super().faces(images, on_error=on_error):
            self.asked += 1
            answers.append(Failure("no") if self.asked % 2 == 0 else answer)
        return answers


def test_a_frame_that_the_detector_fails_on_is_told_and_loses_nobody(clip):
    frames = list(follow(clip, every=0.5, predictor=Failing()))
    assert [f.error for f in frames] == [None, "no"] * 4
    assert [[p.person for p in f.people] for f in frames] == [[], [], *[[1, 2]] * 6]
    assert all(p.face is None for f in frames[1::2] for p in f.people)


def test_what_was_read_of_a_video_cut_off_comes_before_the_error(clip, tmp_path):
    cut = tmp_path / "cut.mkv"
    write_clip(cut, [scene(i) for i in range(40)], codec="libx264", size=SIZE)
    cut.write_bytes(cut.read_bytes()[: int(0.5 * cut.stat().st_size)])
    frames, stream = [], follow(cut, every=0.1)
    with pytest.raises(ValueError, match="ends too early"):
        for frame in stream:
            frames.append(frame)
    assert len(frames) > 5


@pytest.mark.parametrize("source", [True, 1.5, None, [1]])
def test_other_sources_are_refused_when_asked(source):
    with pytest.raises(InvalidArgument, match="`source` must be the path of a video or the number"):
        follow(source)


@pytest.mark.parametrize("settings", [{"every": -1}, {"smooth": float("nan")}])
def test_settings_are_checked_when_asked(settings, clip):
    with pytest.raises(InvalidArgument, match=f"`{next(iter(settings))}` must be at least 0"):
        follow(clip, **settings)


def test_what_is_missing_is_told_when_asked(monkeypatch, clip):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"needs SciPy: pip install 'ran_tf\[video\]'"):
        follow(clip)


class Capture:
    """Stands in for OpenCV's: a frame each tenth of a second, as BGR, until they end."""

    def __init__(self, frames, *, opened=True):
        self.frames, self.opened = frames, opened
        self.at, self.released, self.made = -1, False, 0

    def isOpened(self):
        return self.opened

    def set(self, *_):
        return False

    def grab(self):
        self.at += 1
        return self.at < self.frames

    def retrieve(self):
        self.made += 1
        return True, picture(red=self.at, green=None)[..., ::-1]

    def release(self):
        self.released = True

    def clock(self):
        return 1000 + self.at / 10


@pytest.fixture
def plug(monkeypatch):
    """Makes a capture the one that OpenCV opens."""

    def plug(capture, *, number):
        monkeypatch.setattr("cv2.VideoCapture", {number: capture}.__getitem__)
        monkeypatch.setattr("time.monotonic", capture.clock)
        return capture

    return plug


def test_a_camera_is_read_as_it_shows(plug):
    capture = plug(Capture(20), number=3)
    frames = list(camera.read_camera(3, every=0.5))
    assert [f.seconds for f in frames] == pytest.approx([0, 0.5, 1.0, 1.5])
    # Of the others, no pixels are made.
    assert capture.made == 4 and capture.released
    assert tuple(frames[1].image[40, 20]) == RED and frames[1].image.flags.c_contiguous
    # Followed one by one: each is answered before the next is asked for.
    capture = plug(Capture(20), number=0)
    people = follow(0, every=0.1)
    assert next(people).people[0].person == 1
    assert capture.at == 0
    people.close()
    assert capture.released


@pytest.mark.parametrize("capture", [Capture(0), Capture(5, opened=False)])
def test_a_camera_that_shows_nothing_is_one_error(capture, plug):
    plug(capture, number=2)
    with pytest.raises(OSError, match="camera 2 cannot be read"):
        list(camera.read_camera(2, every=1))
    assert capture.released


def test_frames_are_those_of_the_container(tmp_path):
    """A phone's: held upright, with a clock that runs unevenly."""
    from tests.fixtures.video_files import set_matrix

    path = write_clip(tmp_path / "a.mp4", [picture(red=20)] * 4, codec="libx264", size=SIZE)
    set_matrix(path, (0, 1, -1, 0))
    (frame,) = follow(path, every=1)
    assert frame.image.shape == (160, 96, 3)
    box = frame.people[0].face.box
    # x' = height - y, y' = x.
    np.testing.assert_allclose(box, [20, 96 - 62, 51, 96 - 31], atol=2)
    assert video.is_video(path)


@pytest.mark.large
def test_memory_stays_flat_over_an_hour(tmp_path, monkeypatch):
    """Rows, an annotated video and a timeline of 18,000 frames; the process' memory by minute."""
    minutes, rate = 60, 5
    monkeypatch.setattr(appearance, "describe_faces", describe_squares)

    def frames():
        for i in range(60 * rate * minutes):
            yield scene(i % 40)

    path = write_clip(
        *(tmp_path / "hour.mp4", frames()),
        codec="libx264",
        rate=rate,
        size=SIZE,
    )
    squares, held = Squares(), []
    squares.card = make_card(labels=LABELS)
    rows = predict_people(
        squares,
        path,
        VideoConfig(every=0.2),
        batch_size=32,
        timeline_file=tmp_path / "hour.png",
        draw=Pictures(tmp_path / "drawn", inputs=[]),
    )
    began, due = time.monotonic(), 0.0
    for row in rows:
        if row.get("seconds", 0) >= due:
            held.append(int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20)
            due += 300
    took = time.monotonic() - began
    print("MB each five minutes:", [round(megabytes) for megabytes in held])
    print(f"{took:.0f} s: {60 * minutes / took:.1f} times real time")
    assert len(held) == 12 and max(held[2:]) - held[1] < 32
    assert sorted(p.name for p in tmp_path.rglob("hour*")) == ["hour.mp4"] * 2 + ["hour.png"]
