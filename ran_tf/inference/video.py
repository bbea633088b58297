"""Frames of a video file, at even intervals.

FFmpeg decodes them, through PyAV, in a process of its own (`video_child`): a video that crashes a
decoder, or makes it hang, is an error of that video.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator

import numpy as np

from ran_tf.checks import check_range
from ran_tf.images.decoding import MAX_PIXELS
from ran_tf.safety import reader_process

# Files with such names count as videos before they are looked into; not .ts and .mts, which are
# programs, too.
SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv"),
    *(".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mxf", ".ogv", ".vob", ".webm", ".wmv"),
)

# The first bytes of a file tell what it is: so many of them are enough for `demuxer_of`.
HEAD_BYTES = 640

# Of the child's data: sixteen frames to refer to, and those that its threads work on.
MEMORY = 2**32
# The longest that the child may be silent.
SECONDS = 60.0

# For what the child says before it dies.
_DISK = 2**20

_CHILD = pathlib.Path(__file__).with_name("video_child.py")

# By FFmpeg's demuxer: what a file begins with. In MP4 and QuickTime a box, but for those of still
# pictures and of sound; in Ogg first comes the header of its pictures, if it has any.
_STILL_OR_SOUND = rb"avi[fs]|he[iv][cxms]|mi[fa][1f]|msf1|crx |jxl |jp[2xm] |M4[ABP] |F4A "
_BEGINNINGS = {
    "mov": rb"(?s:....)(?:ftyp(?!%b)|moov|mdat|wide|free|skip|pnot)" % _STILL_OR_SOUND,
    "matroska": rb"\x1a\x45\xdf\xa3",
    "avi": rb"RIFF(?s:....)AVI ",
    "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "flv": rb"FLV\x01(?s:.)\x00\x00",
    "ogg": rb"OggS(?s:.{0,60})(?:\x80theora|OVP80|fishead|video\x00|BBCD)",
    # Packets of 188 bytes, or with a time before them of 192.
    "mpegts": rb"G(?s:.{187})G(?s:.{187})G|(?s:.{4})G(?s:.{191})G(?s:.{191})G",
    "mpeg": rb"\x00\x00\x01\xba",
    "mpegvideo": rb"\x00\x00\x01\xb3",
    "mxf": rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",
    "dv": rb"\x1f\x07\x00[\x3f\xbf]",
    "yuv4mpegpipe": rb"YUV4MPEG2 ",
    "ivf": rb"DKIF\x00\x00",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
      seconds: since the first frame; they never go back, whatever the video's clock does.
      image: u8[H, W, 3], RGB, with square pixels, turned and mirrored as the video says.
    """

    seconds: float
    image: np.ndarray


def demuxer_of(head: bytes) -> str | None:
    """What a video is packed in.

    Args:
      head: the first `HEAD_BYTES` of a file, or all if it has fewer.

    Returns:
      FFmpeg's name for it, None if it is no video.
    """
    return next((name for name, start in _BEGINNINGS.items() if re.match(start, head)), None)


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is called as a video, or begins as one does."""
    path = pathlib.Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        # A pipe may never answer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return demuxer_of(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def read_frames(path: str | os.PathLike, *, every: float = 1.0) -> Iterator[Frame]:
    """Decodes the first frame of a video, then one after each interval; holds one at a time.

    Args:
      path: of a video in a container that `demuxer_of` knows, in a code that FFmpeg decodes.
      every: seconds between frames; 0 is every frame.

    Raises:
      ImportError: if PyAV is not installed.
      OSError: if the file cannot be opened.
      ValueError: if it is no video, or its decoder crashes, takes more than `MEMORY` or is silent
        for `SECONDS`; if it has no frame, or frames of more than `images.MAX_PIXELS`. After its
        frames were yielded: if it ends too early, many frames are damaged, or a second recording in
        the file cannot be reached.
    """
    check_range("every", every, low=0.0)
    path = pathlib.Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"`path` must be a file. Received: path={str(path)!r}")
    # Unbuffered: the child goes on where this process stands in the file.
    with path.open("rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
        demuxer = demuxer_of(head)
        if demuxer is None:
            raise ValueError(
                "not a video that can be read. Received: "
                f"{status.st_size:,} bytes beginning with {head[:12]!r}"
            )
        if importlib.util.find_spec("av") is None:
            raise ImportError("videos need PyAV: pip install 'ran_tf[video]'")
        file.seek(0)
        yield from _read_from_child(file, arguments=(demuxer, every, MAX_PIXELS))


def _read_from_child(file, *, arguments) -> Iterator[Frame]:
    command = reader_process.command_of(_CHILD, *arguments, memory=MEMORY, disk=_DISK)
    with tempfile.TemporaryFile() as complained:
        child = subprocess.Popen(
            command,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=complained,
            env={**os.environ, **reader_process.ONE_THREAD},
        )
        assert child.stdout is not None
        try:
            while True:
                with _Watch(child) as watch:
                    message = _receive(child.stdout)
                if isinstance(message, Frame):
                    yield message
                elif message is None and watch.ran_out:
                    raise ValueError(f"its decoder was silent for more than {SECONDS:.0f} s")
                elif message is None:
                    status = child.wait()
                    last = reader_process.last_line(complained)
                    raise ValueError(reader_process.describe_death(status, last))
                elif "error" in message:
                    if message["error"] is not None:
                        raise ValueError(message["error"])
                    return
        finally:
            child.kill()
            child.stdout.close()
            child.wait()


class _Watch:
    """Kills a process that has not answered within `SECONDS`."""

    def __init__(self, child: subprocess.Popen):
        self._child, self.ran_out = child, False
        self._timer = threading.Timer(SECONDS, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self.ran_out = True
        self._child.kill()

    def __enter__(self) -> "_Watch":
        self._timer.start()
        return self

    def __exit__(self, *_) -> None:
        self._timer.cancel()


def _receive(pipe) -> Frame | dict | None:
    """The child's next message; None if it died in the middle of one."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    if "height" not in message:
        return message
    image = np.empty((message["height"], message["width"], 3), np.uint8)
    if pipe.readinto(image.data.cast("B")) != image.nbytes:
        return None
    return Frame(seconds=message["seconds"], image=image)
