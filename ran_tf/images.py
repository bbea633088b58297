"""Encoded images (the bytes of a file) to pixels."""

import os
import pathlib

import cv2
import numpy as np

# What a folder is searched for.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def decode_image(data: bytes) -> np.ndarray:
    """Decodes an image and turns it upright as its EXIF data say.

    Args:
      data: a JPEG, PNG, BMP, WebP or TIFF file, or a GIF (its first frame). Transparency is
        dropped, 16 bits become 8.

    Returns:
      u8[H, W, 3], RGB.

    Raises:
      ValueError: if it is no image, or ends too early (which OpenCV would fill with grey).
    """
    # After the last start of a scan a JPEG has an end of image; a PNG has an end chunk.
    truncated = (data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")) or (
        data[:4] == b"\x89PNG" and b"IEND" not in data
    )
    if truncated:
        raise ValueError(f"the image ends too early. Received: {len(data):,} bytes")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error:  # more pixels than OpenCV allows, for one
        image = None
    if image is None:
        raise ValueError(
            "not an image that can be read (JPEG, PNG, BMP, GIF, WebP, TIFF). "
            f"Received: {len(data):,} bytes beginning with {data[:8]!r}"
        )
    return image


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file: see `decode_image`. Raises OSError if it cannot be opened."""
    return decode_image(pathlib.Path(path).read_bytes())
