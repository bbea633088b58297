"""The items of a call to a predictor: arrays, bytes and paths in, one result for each out."""

import os

import numpy as np

from ran_tf import checks
from ran_tf.images.decoding import decode_image, read_image
from ran_tf.inference.prediction import Failure

Item = np.ndarray | bytes | str | os.PathLike

ON_ERROR = ("raise", "return")


class Results:
    """One value for each image of a call, and what becomes of an error."""

    def __init__(self, name: str, images, *, on_error: str):
        checks.check_choice("on_error", on_error, ON_ERROR)
        _check_sequence(images, name=name)
        self.name, self.on_error = name, on_error
        self.values: list = [None] * len(images)

    def fail(self, i: int, error: OSError | ValueError) -> None:
        if self.on_error == "return":
            text = error.strerror if isinstance(error, OSError) else None
            self.values[i] = Failure(error=text or str(error))
        elif isinstance(error, OSError):
            raise error
        else:
            raise ValueError(f"`{self.name}[{i}]`: {error}") from error


def to_array_or_error(image: Item) -> np.ndarray | OSError | ValueError:
    """An item as u8[H, W, 3], or the error that says why it is none."""
    try:
        return _to_array(image)
    except (OSError, ValueError) as error:
        return error


def _to_array(image: Item) -> np.ndarray:
    """An item as u8[H, W, 3]."""
    if isinstance(image, (bytes, bytearray)):
        return decode_image(bytes(image))
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            "an image must be a NumPy array u8[H, W, 3], the bytes of an image file, or its path. "
            f"Received: {type(image).__name__}"
        )
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            "an array must have shape [H, W, 3], RGB (repeat a grey channel three times). "
            f"Received: image.shape={image.shape}"
        )
    if image.dtype != np.uint8:
        raise ValueError(
            f"an array must be uint8, values 0..255. Received: image.dtype={image.dtype}"
        )
    return image


def _check_sequence(images, *, name: str) -> None:
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise ValueError(
            f"`{name}` must be u8[b, H, W, 3] or a list of u8[H, W, 3]; for one image pass "
            f"[image]. Received: {name}.shape={images.shape}"
        )
    unsized = not hasattr(images, "__len__") or getattr(images, "ndim", None) == 0
    if isinstance(images, (str, bytes, os.PathLike, dict)) or unsized:
        raise ValueError(
            f"`{name}` must be a list or array of images; for one file pass [path], for folders "
            f"see python -m ran_tf.launch.predict. Received: {type(images).__name__}"
        )
