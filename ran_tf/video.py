"""Frames of a video file, at even intervals."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from ran_tf.checks import check_range
from ran_tf.images import MAX_PIXELS

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")

# A container's count of frames may be a guess; so much less than it says is a video cut off.
_MOST_MISSING_SHARE, _MOST_MISSING_SECONDS = 0.1, 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
      seconds: since the beginning.
      image: u8[H, W, 3], RGB, turned as the video says.
    """

    seconds: float
    image: np.ndarray


def read_frames(path: str | os.PathLike, *, every: float = 1.0) -> Iterator[Frame]:
    """Decodes the first frame of a video, then one after each interval; holds one at a time.

    Args:
      path: of a file that the FFmpeg in OpenCV can read.
      every: seconds between frames; 0 is every frame.

    Raises:
      OSError: if the file cannot be opened.
      ValueError: if it is no video, has no frame or frames of more than `images.MAX_PIXELS`, or
        ends too early (after its frames were yielded).
    """
    check_range("every", every, low=0.0)
    path = pathlib.Path(path)
    if not path.stat().st_size:
        raise ValueError("not a video that can be read. Received: 0 bytes")
    # FFmpeg alone, and a whole path: "clip_%02d.mp4" and "http:..." are names of files here.
    # As bytes: OpenCV dies of a text that is no valid UTF-8.
    capture = cv2.VideoCapture(os.fsencode(path.resolve()), cv2.CAP_FFMPEG)
    try:
        yield from _read(capture, every=every, size=path.stat().st_size)
    finally:
        capture.release()


def _read(capture: cv2.VideoCapture, *, every: float, size: int) -> Iterator[Frame]:
    if not capture.isOpened():
        raise ValueError(f"not a video that can be read. Received: {size:,} bytes")
    width, height, rate, expected = (
        capture.get(what)
        for what in (
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FPS,
            cv2.CAP_PROP_FRAME_COUNT,
        )
    )
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"frames must have at most {MAX_PIXELS:,} pixels. Received: {width:.0f} x {height:.0f}"
        )
    read, due, seconds = 0, 0.0, 0.0
    while capture.grab():
        seconds = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        if read and seconds <= 0 and rate > 0:  # the container keeps no times
            seconds = read / rate
        read += 1
        # A microsecond, for what rounding takes from a frame that is just due.
        if seconds + 1e-6 < due:
            continue
        done, image = capture.retrieve()
        if not done:
            break
        due = every * (math.floor((seconds + 1e-6) / every) + 1) if every else 0.0
        yield Frame(seconds=seconds, image=cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if not read:
        raise ValueError(f"the video has no frame that can be read. Received: {size:,} bytes")
    missing = expected - read
    if missing > _MOST_MISSING_SHARE * expected and missing > _MOST_MISSING_SECONDS * rate > 0:
        raise ValueError(
            f"the video ends too early, after {read / rate:.1f} of {expected / rate:.1f} seconds. "
            f"Received: {size:,} bytes"
        )
