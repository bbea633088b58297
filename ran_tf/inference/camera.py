"""Frames of a camera, as it shows them."""

import time
from collections.abc import Iterator

import cv2
import numpy as np

from ran_tf.inference.video import Frame


def read_camera(index: int, *, every: float) -> Iterator[Frame]:
    """Frames until the camera is gone, or nobody asks for more.

    Args:
      index: its number, from 0.
      every: seconds between frames; 0 is every frame. What it shows in between, or while a frame
        is worked on, is let go.

    Raises:
      OSError: if there is no such camera, or it shows nothing.
    """
    capture = cv2.VideoCapture(index)
    # Else what waited while the last frame was worked on comes first.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    try:
        start, due, shown = None, 0.0, False
        # `grab` takes a frame from the camera, `retrieve` makes pixels of it.
        while capture.isOpened() and capture.grab():
            now = time.monotonic()
            start = now if start is None else start
            if now - start < due:
                continue
            there, image = capture.retrieve()
            if not there:
                continue
            due = now - start + every
            shown = True
            yield Frame(seconds=now - start, image=np.ascontiguousarray(image[..., ::-1]))
        if not shown:
            raise OSError(
                f"camera {index} cannot be read: is it connected, not in use, and allowed?"
            )
    finally:
        capture.release()
