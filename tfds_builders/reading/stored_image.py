"""Colour images from files, checked, as they are stored in a dataset."""

import dataclasses

import numpy as np
from etils import epath

from ran_tf.images import decoding


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

    A JPEG is kept as it is, which is small and loses nothing, unless it must be turned.

    Args:
        path: the file.
        named_by: what names the file, for errors.
        upright: turn it as its EXIF data say; else they are ignored, as TensorFlow does.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read as an image, see `decoding.decode_image`.
    """
    data, pixels = read(path, named_by=named_by, upright=upright)
    keep = decoding.kind_of(data) == "JPEG" and not (upright and b"Exif\0" in data[:65536])
    height, width = pixels.shape[:2]
    return StoredImage(encoded=data if keep else pixels, height=height, width=width)


def read(path: epath.PathLike, *, named_by: str, upright: bool) -> tuple[bytes, np.ndarray]:
    """Bytes and pixels u8[H,W,3], RGB, of an image file; arguments and errors as `load_image`."""
    try:
        data = decoding.read_bytes(epath.Path(path))
        return data, decoding.decode_image(data, upright=upright)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} (named by {named_by}) is missing: unpack the images again, or leave the face "
            f"out. Received: path={str(path)!r}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path} (named by {named_by}) does not decode as an image: copy or unpack it again, "
            f"or leave the face out; {error}"
        ) from error
