"""A photo that must be turned before it is upright."""

import cv2
import numpy as np


def turned_jpeg(image: np.ndarray) -> bytes:
    """A JPEG of u8[h,w,3] that its EXIF data (orientation 6) say to turn clockwise."""
    data = cv2.imencode(".jpg", image)[1].tobytes()
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" + bytes(6)
    exif = b"Exif\x00\x00" + tiff
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
