"""Where a video cuts to another picture: there, places say nothing of who is who."""

import cv2
import numpy as np

# Of the small pictures that are compared, and the mean difference of their values, 0..255, that no
# movement makes: of 14 seconds with one cut, and 20 of a head that turns and covers its face.
_SIZE = (16, 12)
_CUT = 20.0


class Cuts:
    """Tells of frame after frame whether there was a cut before it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> bool:
        """Takes the next frame, u8[H, W, 3]; the first follows no cut."""
        small = cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._last = self._last, small
        return before is not None and float(np.abs(small - before).mean()) > _CUT
