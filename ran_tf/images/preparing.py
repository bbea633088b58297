"""A face as a network was trained on it: of its size, without colour where it saw none.

Colour is taken out as image viewers do it, by ITU-R BT.601, rounded to whole grey levels. That sum
is exact in every runtime: whole thousandths, with half a thousandth between it and the next level.
"""

import numpy as np

from ran_tf.images import resampling

# Of a thousand.
_RED, _GREEN, _BLUE = 299.0, 587.0, 114.0


def luma(red, green, blue):
    """A grey level, but for rounding down: of float32 arrays or tensors of whole numbers."""
    return (_RED * red + _GREEN * green + _BLUE * blue + 500.5) / 1000.0


def prepare_face(image: np.ndarray, *, size: tuple[int, int], grey: bool) -> np.ndarray:
    """What a network sees of a face.

    Doing it twice changes nothing.

    Args:
      image: u8[H, W, 3], RGB.
      size: (height, width) in pixels.
      grey: take colour out.

    Returns:
      u8[height, width, 3].
    """
    if not grey:
        return resampling.resize_array(image, size=size)
    levels = np.floor(luma(*np.moveaxis(image.astype(np.float32), -1, 0))).astype(np.uint8)
    return np.repeat(resampling.resize_array(levels[..., np.newaxis], size=size), 3, axis=-1)
