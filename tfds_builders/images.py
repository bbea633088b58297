"""Colour images from files, checked, as they are stored in a dataset."""

import dataclasses
import io

import cv2
import numpy as np
from etils import epath
from PIL import Image, ImageOps

#: Files that count as images, by their ending in lower case.
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

#: Files that are images, too, and are not read.
OTHER_SUFFIXES = (".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".svg")


@dataclasses.dataclass(frozen=True, eq=False)
class StoredImage:
    """An image in the form that its dataset keeps.

    Attributes:
        encoded: the JPEG file's own bytes, or pixels u8[H,W,3], RGB.
        height, width: in pixels.
    """

    encoded: bytes | np.ndarray
    height: int
    width: int


def load_image(path: epath.PathLike, *, named_by: str, upright: bool) -> StoredImage:
    """Reads and checks an image.

    A JPEG is kept as it is, which is small and loses nothing, unless it must be turned. What is
    transparent is put on white, as programs show it: under it may lie any colour.

    Args:
        path: the file.
        named_by: what names the file, for errors.
        upright: turn it as its EXIF data say; else they are ignored, as TensorFlow does.

    Raises:
        ValueError: it does not decode, or ends too early.
    """
    path = epath.Path(path)
    data = path.read_bytes()
    is_jpeg = data[:2] == b"\xff\xd8"
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags) if data else None
    # OpenCV fills the rest of a JPEG that was cut off with grey.
    if pixels is None or (is_jpeg and not _has_jpeg_end(data)):
        raise ValueError(
            f"{path} (named by {named_by}) does not decode as an image: copy or unpack it again. "
            f"Received: a file of {len(data)} bytes"
        )
    if not is_jpeg and _has_transparency(data):
        pixels = _on_white(data, upright=upright)
    keep = is_jpeg and not (upright and b"Exif\0" in data[:65536])
    height, width = pixels.shape[:2]
    return StoredImage(encoded=data if keep else pixels, height=height, width=width)


def _has_transparency(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.has_transparency_data
    except Exception:  # Pillow reads no such file, and OpenCV did
        return False


def _on_white(data: bytes, *, upright: bool) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as file:
        image = (ImageOps.exif_transpose(file) if upright else file).convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return np.array(paper)


def _has_jpeg_end(data: bytes) -> bool:
    if data.rstrip(b"\0\t\n\r ").endswith(b"\xff\xd9"):
        return True
    # It may hold smaller ones, and have a film behind it: as many ends as starts.
    return data.count(b"\xff\xd9") >= data.count(b"\xff\xd8\xff")
