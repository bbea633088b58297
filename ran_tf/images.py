"""Encoded images (the bytes of a file) to pixels, within limits."""

import io
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

# What a folder is searched for.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# More is refused: of pixels when only the header was read, so that a small file cannot unfold to
# gigabytes; of bytes before the file is read. Decoding takes up to 10 bytes a pixel for a moment.
MAX_PIXELS = 2**26
MAX_BYTES = 2**28

# Images are held together until they have this many pixels: bounds the memory of a batch.
MAX_HELD_PIXELS = 16_000_000

# Pillow knows more formats, some of which start other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

# From how a picture lies to upright, by EXIF orientation.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def group(
    items: Iterable[tuple[Any, np.ndarray]], *, most: int | None = None
) -> Iterator[list[tuple[Any, np.ndarray]]]:
    """Groups images that are worked on together.

    Args:
      items: (whatever, image [H, W, ...]), which may be made as they are asked for.
      most: items of a group; fewer where they reach `MAX_HELD_PIXELS`.

    Yields:
      Lists of items, in order.

    Raises:
      OSError, ValueError: what `items` raises, after the group of those before it.
    """
    held, pixels, problem = [], 0, None
    try:
        for item in items:
            held.append(item)
            pixels += item[1].shape[0] * item[1].shape[1]
            if len(held) == most or pixels >= MAX_HELD_PIXELS:
                yield held
                held, pixels = [], 0
    except (OSError, ValueError) as error:
        problem = error
    if held:
        yield held
    if problem is not None:
        raise problem


def find_files(
    folder: str | os.PathLike,
    *,
    suffixes: Sequence[str] = SUFFIXES,
    exclude: str | os.PathLike | None = None,
) -> list[pathlib.Path]:
    """Sorted files below a folder whose names have one of `suffixes`, in either case.

    What is hidden is left out, links to folders are not followed, nor is the folder `exclude`.

    Raises:
      OSError: the folder, or one below it, cannot be read.
    """
    left_out, found = exclude and pathlib.Path(exclude).resolve(), []
    for below, folders, names in os.walk(folder, onerror=_raise):
        below = pathlib.Path(below)
        folders[:] = [x for x in folders if x[0] != "."]
        if left_out:
            folders[:] = [x for x in folders if (below / x).resolve() != left_out]
        found += [below / x for x in names if x[0] != "." and x.lower().endswith(tuple(suffixes))]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def decode_image(data: bytes) -> np.ndarray:
    """Decodes an image and turns it upright as its EXIF data say.

    Args:
      data: a JPEG, PNG, BMP, GIF, WebP or TIFF file; of an animation the first frame. Any of their
        colour spaces; what is transparent becomes white, 16 bits become 8.

    Returns:
      u8[H, W, 3], RGB.

    Raises:
      ValueError: if it is no image, ends too early, or exceeds `MAX_PIXELS` or `MAX_BYTES`.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"an image file must have at most {MAX_BYTES:,} bytes. Received: {len(data):,} bytes"
        )
    try:
        # Reads the header only.
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(_too_large(str(error))) from error
    except Exception as error:  # the readers of headers raise whatever comes of strange bytes
        raise ValueError(
            "not an image that can be read, or not all of it (JPEG, PNG, BMP, GIF, WebP, TIFF). "
            f"Received: {len(data):,} bytes beginning with {bytes(data[:8])!r}"
        ) from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(_too_large(f"{image.width:,} x {image.height:,} pixels"))
        try:
            image.load()
            return _to_rgb(_turn_upright(image))
        except Exception as error:  # and so do the decoders
            early = "truncated" in str(error) or isinstance(error, EOFError)
            what = "ends too early" if early else "is damaged or of an unusual kind"
            raise ValueError(
                f"the image {what} ({error}). Received: {image.format}, {len(data):,} bytes"
            ) from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file: see `decode_image`. Raises OSError if it cannot be opened."""
    path = pathlib.Path(path)
    status = path.stat()
    # A pipe or a device may never end.
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"`path` must be a file. Received: path={str(path)!r}")
    if status.st_size > MAX_BYTES:
        raise ValueError(
            f"an image file must have at most {MAX_BYTES:,} bytes. "
            f"Received: {status.st_size:,} bytes"
        )
    return decode_image(path.read_bytes())


def _too_large(received: str) -> str:
    return (
        f"an image must have at most {MAX_PIXELS:,} pixels; make it smaller. Received: {received}"
    )


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # pixels are no worse for a broken EXIF block
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        # Pillow would clip at 255; colour images of 16 bits lose their lower byte, too.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError("channels must have at most 16 bits and whole numbers")
    if image.has_transparency_data:
        # On white, as programs show it: under what is transparent may lie any colour.
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    return np.array(image.convert("RGB"))
