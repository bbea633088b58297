"""Frames of videos as people have them: their times and shape, what is lost, and who is hostile."""

import os
import pathlib
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from ran_tf.inference import video
from ran_tf.inference.files import find_files
from tests.fixtures.video_files import set_matrix, trim, write_clip

# Six seconds at ten frames a second; brighter by four with each.
VALUES = [4 * i for i in range(60)]


def check(frames, *, values=VALUES, every=0.5, rate=10):
    """Each frame has the brightness that belongs to its time, from zero on and evenly."""
    times = [every * i for i in range(round(len(values) / rate / every))]
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=2e-3)
    for frame in frames:
        assert abs(frame.image.mean() - values[round(frame.seconds * rate)]) < 5, frame.seconds


def read_until_error(path, **options):
    """The frames of a video that is not whole, and what is said of it."""
    frames = []
    with pytest.raises(ValueError) as caught:
        for frame in video.read_frames(path, **options):
            frames.append(frame)
    return frames, str(caught.value)


WHOLE = {
    "late.mp4": {"start": 50},
    "fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "av1.mp4": {"codec": "libsvtav1"},
    "phone.3gp": {},
    "late.mkv": {"start": 50},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "late.ts": {"codec": "mpeg2video", "start": 5000},
    "camera.m2ts": {"codec": "libx264", "options": {"mpegts_m2ts_mode": "1"}},
    "old.flv": {"codec": "flv"},
    "free.ogv": {"codec": "libvpx", "container": "ogg"},
    "old.wmv": {"codec": "wmv2", "container": "asf"},
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_people_have_is_read_whole(name, tmp_path):
    path = write_clip(tmp_path / name, VALUES, **WHOLE[name])
    check(list(video.read_frames(path, every=0.5)))
    # Whatever it is called.
    assert video.is_video(path.rename(tmp_path / "nameless"))


def test_a_trimmed_clip_shows_what_is_left_of_it(tmp_path):
    path = write_clip(tmp_path / "a.mp4", VALUES)
    trim(path, first=1.5, seconds=3)
    check(list(video.read_frames(path, every=0.5)), values=VALUES[15:45])


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.ts", "libx264"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg1video")],
)
def test_a_clock_that_jumps_back_is_followed(name, codec, tmp_path):
    rate = 25 if codec == "mpeg1video" else 10
    path = write_clip(tmp_path / name, VALUES, codec=codec, rate=rate)
    path.write_bytes(path.read_bytes() * 2)
    frames = list(video.read_frames(path, every=0.4))
    check(frames, values=VALUES * 2, every=0.4, rate=rate)


def test_a_broadcasts_clock_that_jumps_on_is_followed(tmp_path):
    parts = [
        write_clip(tmp_path / f"{start}.ts", VALUES[::2], codec="mpeg2video", start=start)
        for start in (0, 36000)
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    check(list(video.read_frames(tmp_path / "a.ts", every=0.5)), values=VALUES[::2] * 2)


def test_a_long_pause_stays_one(tmp_path):
    """Of a screen that was recorded when it changed."""
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for at in (0, 1, 400, 401):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames = video.read_frames(tmp_path / "a.mkv", every=1)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 40])


def test_a_second_recording_that_cannot_be_reached_is_told(tmp_path):
    path = write_clip(tmp_path / "a.mp4", VALUES)
    path.write_bytes(path.read_bytes() * 2)
    frames, error = read_until_error(path, every=0.5)
    check(frames)
    assert "second recording" in error
    # Whose streams have other numbers.
    programmes = [{}, {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352"}]
    parts = [
        write_clip(tmp_path / f"{i}.ts", VALUES, codec="libx264", options=options).read_bytes()
        for i, options in enumerate(programmes)
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    frames, error = read_until_error(tmp_path / "a.ts", every=0.5)
    check(frames)
    assert "second recording" in error


@pytest.mark.parametrize("name", ["a.mp4", "trimmed.mp4", "a.mkv", "a.avi", "a.flv"])
def test_a_video_cut_off_is_told_after_its_frames(name, tmp_path):
    codec = "flv" if name.endswith("flv") else "mpeg4"
    options = {"movflags": "faststart"} if name.endswith("mp4") else None
    path = write_clip(tmp_path / name, VALUES, codec=codec, options=options)
    if name == "trimmed.mp4":
        trim(path, first=1, seconds=4)
    os.truncate(path, int(0.6 * path.stat().st_size))
    frames, error = read_until_error(path, every=0)
    assert len(frames) > 5 and "ends too early, after" in error


def test_damaged_frames_are_left_out_and_told(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (40, 48, 64, 3))
    path = write_clip(tmp_path / "a.ts", noise, codec="libx264")
    data = bytearray(path.read_bytes())
    # Every third packet of what is stored, but for their headers.
    for packet in range(188 * 30, len(data) - 188, 188 * 3):
        data[packet + 12 : packet + 188] = bytes(176)
    path.write_bytes(data)
    frames, error = read_until_error(path, every=0)
    assert "damaged and were left out" in error and len(frames) < 36


@pytest.mark.parametrize(
    ("ratio", "shape"),
    [(Fraction(16, 11), (48, 93)), (Fraction(3, 4), (64, 64)), (Fraction(1001, 1000), (48, 64))],
)
def test_pixels_are_made_square(ratio, shape, tmp_path):
    path = write_clip(tmp_path / "a.mp4", [90] * 3, ratio=ratio)
    assert next(video.read_frames(path)).image.shape == (*shape, 3)


SIGNS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
MATRICES = [(a, 0, 0, d) for a, d in SIGNS] + [(0, b, c, 0) for b, c in SIGNS]


@pytest.mark.parametrize("matrix", MATRICES)
def test_frames_are_turned_and_mirrored_as_the_video_says(matrix, tmp_path):
    """Each corner lies where x' = a x + c y, y' = b x + d y puts it."""
    height, width = 48, 64
    picture = np.zeros((height, width, 3), np.uint8)
    corners = {(-1, -1): 40, (1, -1): 100, (-1, 1): 160, (1, 1): 220}
    for (x, y), value in corners.items():
        rows = slice(height // 2) if y < 0 else slice(height // 2, None)
        columns = slice(width // 2) if x < 0 else slice(width // 2, None)
        picture[rows, columns] = value
    path = write_clip(tmp_path / "a.mp4", [picture] * 3)
    set_matrix(path, matrix)
    image = next(video.read_frames(path)).image
    a, b, c, d = matrix
    assert image.shape == ((width, height, 3) if b else (height, width, 3))
    for (x, y), value in corners.items():
        right, below = a * x + c * y > 0, b * x + d * y > 0
        row, column = (
            int((0.75 if far else 0.25) * n)
            for far, n in zip((below, right), image.shape[:2], strict=True)
        )
        assert abs(int(image[row, column, 0]) - value) < 12, (x, y)


def test_what_no_frame_can_be_had_of_says_why(tmp_path):
    path = write_clip(tmp_path / "a.mp4", VALUES, codec="libx264")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))
    assert "a codec that FFmpeg does not know" in read_until_error(path)[1]
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert "no video stream" in read_until_error(tmp_path / "sound.mkv")[1]
    # A list of other files, which FFmpeg would follow.
    for text in ("#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n"):
        (tmp_path / "list.mp4").write_text(text.format(path))
        assert "not a video" in read_until_error(tmp_path / "list.mp4")[1]
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "must be a file" in read_until_error(tmp_path / "pipe.mp4")[1]
    assert not video.is_video(tmp_path / "gone")


def test_without_pyav_a_video_says_what_it_needs(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", [9])
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'ran_tf\[video\]'"):
        next(video.read_frames(path))


def test_frames_larger_than_allowed_are_refused(tmp_path, monkeypatch):
    size = (256, 192)
    monkeypatch.setattr(video, "MAX_PIXELS", 256 * 192)
    plain = write_clip(tmp_path / "a.ts", [90] * 5, codec="libx264", size=size)
    large = write_clip(tmp_path / "b.ts", [90] * 40, codec="libx264", size=(512, 512))
    assert "at most 49,152 pixels. Received: 512 x 512" in read_until_error(large)[1]
    # What is stretched counts as it becomes.
    wide = write_clip(tmp_path / "wide.mp4", [90] * 5, ratio=Fraction(2), size=size)
    assert "Received: 512 x 192" in read_until_error(wide)[1]
    (tmp_path / "grows.ts").write_bytes(plain.read_bytes() + large.read_bytes())
    frames, error = read_until_error(tmp_path / "grows.ts", every=0)
    assert 1 <= len(frames) <= 5 and {frame.image.shape for frame in frames} == {(192, 256, 3)}
    assert "damaged" in error


DEATHS = {
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "died with SIGSEGV"),
    "hang": ("import time; time.sleep(100)", "silent for more than 1 s"),
    "memory": ("x = bytearray(2**33)", "takes more than 4,294,967,296 bytes of memory"),
    "half": (
        'import os; os.write(1, b\'{"seconds": 0, "height": 9, "width": 9}\\n12\'); 1 / 0',
        "died with status 1: ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("case", DEATHS)
def test_the_death_of_a_decoder_is_an_error_of_its_video(case, tmp_path, monkeypatch):
    code, message = DEATHS[case]
    (tmp_path / "child.py").write_text(code)
    monkeypatch.setattr(video, "_CHILD", tmp_path / "child.py")
    monkeypatch.setattr(video, "SECONDS", 1 if case == "hang" else 60)
    path = write_clip(tmp_path / "a.mp4", [9])
    frames, error = read_until_error(path)
    assert frames == [] and message in error


def test_nothing_runs_on_after_a_reader_that_stops(tmp_path):
    frames = video.read_frames(write_clip(tmp_path / "a.mp4", VALUES * 10), every=0)
    next(frames)
    # The child, waiting for its frames to be taken.
    children = pathlib.Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text().split()
    assert before
    frames.close()
    time.sleep(0.1)
    assert len(children.read_text().split()) == len(before) - 1


BEGINNINGS = {
    b"\0\0\0\x18ftypisom": "mov",
    b"\0\0\0\x18ftyp3gp4": "mov",
    b"\0\0\0\x14ftypqt  ": "mov",
    b"\0\0\0\x08wide\0\0\0\0mdat": "mov",
    b"\0\0\0\x18ftypavif": None,
    b"\0\0\0\x18ftypheic": None,
    b"\0\0\0\x18ftypmif1": None,
    b"\0\0\0\x18ftypcrx ": None,
    b"\0\0\0\x18ftypM4A ": None,
    b"RIFF\0\0\0\0AVI LIST": "avi",
    b"RIFF\0\0\0\0WEBPVP8 ": None,
    b"OggS" + bytes(24) + b"\x80theora": "ogg",
    b"OggS" + bytes(24) + b"\x01vorbis": None,
    (b"G" + bytes(187)) * 3: "mpegts",
    bytes(4) + (b"G" + bytes(191)) * 3: "mpegts",
    b"GIF89a" + bytes(600): None,
    b"Good day, " * 60: None,
    b"import { a } from 'b';\n" * 30: None,
    b"\xff\xd8\xff\xe0": None,
    b"ID3\x04": None,
    b"": None,
}


@pytest.mark.parametrize("head", BEGINNINGS)
def test_first_bytes_tell_a_video(head):
    assert video.demuxer_of(head) == BEGINNINGS[head]


def test_a_folders_videos_are_found_whatever_they_are_called(tmp_path):
    for name in ("a.mp4", "b.MTS", "c.ts"):
        write_clip(tmp_path / name, VALUES, codec="mpeg2video", container="mpegts")
    (tmp_path / "a.mp4").rename(tmp_path / "nameless")
    (tmp_path / "program.ts").write_text("import { a } from 'b';\n" * 30)
    found, failures, left_out = find_files([str(tmp_path)])
    assert [path.name for path in found] == ["b.MTS", "c.ts", "nameless"]
    assert failures == [] and sum(left_out.values()) == 1


def test_an_image_is_no_video(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert not video.is_video(tmp_path / "a.png")
