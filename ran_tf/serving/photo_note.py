"""Whether a request holds whole photos instead of faces, as far as their sizes say."""

import io

import numpy as np
from PIL import Image

# Of the side that the network was trained on. A face cut out has seldom more; a camera's photo has.
_MOST_SIDES = 8
_FORMATS = ("JPEG", "PNG", "BMP", "GIF")


def photo_note(images: np.ndarray | list, *, face_size: tuple[int, int]) -> str | None:
    """One line about the first image that is much larger than a face; None if there is none.

    A small photo looks like a face to it: nothing is detected here.

    Args:
      images: faces u8[b, H, W, 3], or a list of encoded images that have been decoded before.
      face_size: (height, width) that the network was trained on, pixels.
    """
    if isinstance(images, np.ndarray):
        sizes = [images.shape[1:3]] if images.ndim == 4 else []
    else:
        sizes = [_size(data) for data in images]
    for index, size in enumerate(sizes):
        if max(size) > _MOST_SIDES * max(face_size):
            return (
                f"image {index} has {size[1]} x {size[0]} pixels: if this is a whole photo and "
                "not a face crop, its answer means nothing"
            )
    return None


def _size(data: bytes) -> tuple[int, int]:
    """(height, width) from the header alone; (0, 0) if Pillow cannot tell."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size[::-1]
    except (OSError, ValueError):
        return (0, 0)
