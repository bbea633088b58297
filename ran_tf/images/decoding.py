"""Encoded images (the bytes of a file) to pixels, within limits."""

import errno
import io
import os
import pathlib
import re
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image, TiffImagePlugin

# More is refused: of pixels when only the header was read, so that a small file cannot unfold to
# gigabytes; of bytes before the file is read. Decoding takes up to 10 bytes a pixel for a moment.
MAX_PIXELS = 2**26
MAX_BYTES = 2**28

# Files with such names count as images before they are looked into.
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)

# What is an image and is not read, and what to do about it.
NOT_READ = {
    "HEIC": "save it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)",
    "JPEG XL": "save it as JPEG or PNG",
    "SVG": "save it as PNG",
    "raw file of a camera": "save it as JPEG or TIFF",
}

# Of the beginning of a file, for `kind_of`.
HEAD_BYTES = 256

# The others are Pillow's names of formats; it knows more, some of which start other programs.
_BEGINNINGS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "BMP": rb"BM.{12}[\x0c(48@l|]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF.{4}WEBP",
    "raw file of a camera": rb"II\*\0.{4}CR|II[UR]|MMOR|FUJIFILMCCD-RAW|.{4}ftypcrx",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "AVIF": rb".{4}ftyp.{0,48}avi[fs]",
    "PPM": rb"P[1-6]\s+[\d#]",
    "HEIC": rb".{4}ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "SVG": rb"(\xef\xbb\xbf)?\s*<(svg|\?xml.*<svg)",
}
_READ = "JPEG, PNG, BMP, GIF, WebP, TIFF, JPEG 2000, AVIF, PPM"

# From how a picture lies to upright, by EXIF orientation, and back where that is something else.
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
_AS_STORED = _UPRIGHT | {6: _UPRIGHT[8], 8: _UPRIGHT[6]}

# TIFF's tags: bits of each channel, and what the picture is for.
_BITS, _PURPOSE = 258, 254

# Of zeros before the end of a JPEG, which some cameras write, and libjpeg calls corrupt.
_MOST_PADDING = 64


def kind_of(head: bytes) -> str | None:
    """What kind of image a file is, told by its first `HEAD_BYTES`; None if it is none."""
    kinds = (kind for kind, begins in _BEGINNINGS.items() if re.match(begins, head, re.DOTALL))
    return next(kinds, None)


def without_suffix(name: str) -> str:
    """A file's name without its ending, if that is one of `SUFFIXES`: "a.b" stays whole."""
    return name[: -len(name.rpartition(".")[-1]) - 1] if name.lower().endswith(SUFFIXES) else name


def is_file(path: pathlib.Path) -> bool:
    """Whether a path is a file, and neither a pipe nor a device, which may never end."""
    # Paths of `epath` call anything a file that is no folder.
    return path.is_file() if "://" in os.fspath(path) else os.path.isfile(path)


def read_bytes(path: pathlib.Path) -> bytes:
    """The contents of an image file.

    Raises:
      OSError: it is not there, or cannot be opened.
      ValueError: it is no file, or has more than `MAX_BYTES`.
    """
    if not is_file(path):
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        raise ValueError(f"`path` must be a file. Received: path={str(path)!r}")
    status: Any = path.stat()
    size = status.st_size if hasattr(status, "st_size") else status.length  # of a bucket
    if size > MAX_BYTES:
        raise ValueError(
            f"an image file must have at most {MAX_BYTES:,} bytes. Received: {size:,} bytes"
        )
    return path.read_bytes()


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file: see `decode_image`. Raises OSError if it cannot be opened."""
    # Those of `epath` read buckets, and become no other path.
    opened: Any = path if hasattr(path, "read_bytes") else pathlib.Path(path)
    return decode_image(read_bytes(opened))


def decode_image(data: bytes, *, upright: bool = True, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes an image.

    Args:
      data: a JPEG, PNG, BMP, GIF, WebP, TIFF, JPEG 2000, AVIF or PPM file; of an animation the
        first frame. Any of their colour spaces. What is transparent becomes white. 16 bits become
        8; where a camera of 8, 10, 12 or 14 bits has filled the lower ones alone, those count.
      upright: turn it as its EXIF data say.
      most_pixels: of the image, at most `MAX_PIXELS`.

    Returns:
      u8[H, W, 3], RGB.

    Raises:
      ValueError: if it is no image, ends too early, is damaged (as far as its format can tell), or
        exceeds `most_pixels` or `MAX_BYTES`.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"an image file must have at most {MAX_BYTES:,} bytes. Received: {len(data):,} bytes"
        )
    kind = kind_of(data[:HEAD_BYTES])
    if kind in NOT_READ:
        raise ValueError(f"{kind}: {NOT_READ[kind]}. Received: {len(data):,} bytes")
    try:
        # Reads the header only.
        image = Image.open(io.BytesIO(data), formats=[kind] if kind else [])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(_too_large(str(error), most_pixels)) from error
    except Exception as error:  # the readers of headers raise whatever comes of strange bytes
        raise ValueError(
            f"not an image that can be read, or not all of it ({_READ}). "
            f"Received: {len(data):,} bytes beginning with {bytes(data[:8])!r}"
        ) from error
    with image:
        if image.width * image.height > most_pixels:
            received = f"{image.width:,} x {image.height:,} pixels"
            raise ValueError(_too_large(received, most_pixels))
        try:
            return _to_rgb(_load(image, data, upright=upright))
        except Exception as error:  # and so do the decoders
            early = isinstance(error, EOFError) or re.search("truncated|Premature end", str(error))
            what = "ends too early" if early else "is damaged or of an unusual kind"
            raise ValueError(
                f"the image {what} ({error}). Received: {image.format}, {len(data):,} bytes"
            ) from error


def _too_large(received: str, most: int) -> str:
    return f"an image must have at most {most:,} pixels; make it smaller. Received: {received}"


def _load(image: Image.Image, data: bytes, *, upright: bool) -> Image.Image:
    """Decodes what `image` has read the header of."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        orientation = image.tag_v2.get(_ORIENTATION)
        loaded = _load_tiff(image, data)
        return loaded if upright else _turn(loaded, _AS_STORED.get(orientation or 1))
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
        loaded = Image.fromarray(_decode_jpeg(data, "RGB"))
    else:
        if image.format in ("JPEG", "MPO"):
            _decode_jpeg(data, image.mode)  # for what Pillow does not tell
        image.load()
        loaded = image
        if image.format == "PNG" and data[24] == 16:
            loaded = _load_16_bits(image, data)
    if not upright:
        return loaded
    try:
        return _turn(loaded, _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # pixels are no worse for a broken EXIF block
        return loaded


def _load_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> Image.Image:
    """The picture, upright: Pillow turns it as it loads it, and OpenCV one of 16 bits."""
    if image.tag_v2.get(_PURPOSE, 0) & 1:
        raise ValueError("it begins with a thumbnail, as raw files of cameras do")
    bits = image.tag_v2.get(_BITS)
    image.load()
    if image.mode == "I;16" and bits == (12,):
        return Image.fromarray(_to_8_bits(np.asarray(image), bits=12))
    return _load_16_bits(image, data) if bits and bits[0] == 16 else image


def _turn(image: Image.Image, how: Image.Transpose | None) -> Image.Image:
    return image if how is None else image.transpose(how)


def _decode_jpeg(data: bytes, colours: str) -> np.ndarray:
    """Pixels of a JPEG; unlike Pillow and OpenCV, this decoder can be told to mind damage."""
    try:
        return simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        if not _is_harmless(str(error), data):
            raise
    return simplejpeg.decode_jpeg(data, colours, strict=False)


def _is_harmless(warning: str, data: bytes) -> bool:
    """Whether pixels are right in spite of what libjpeg says; if it gave up, it will again."""
    found = re.match(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(..)", warning)
    if not found:
        return not warning.startswith(("Corrupt JPEG data", "Premature end"))
    count, mark = int(found[1]), bytes.fromhex("ff" + found[2])
    return count <= _MOST_PADDING and any(
        not data[match.start() - count : match.start()].strip(b"\0\xff")
        for match in re.finditer(re.escape(mark), data)
    )


def _load_16_bits(image: Image.Image, data: bytes) -> Image.Image:
    """A PNG or TIFF of 16 bits, in 8; `image` where OpenCV cannot.

    Pillow has no colours of 16 bits: it drops the lower byte of each.
    """
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        return Image.fromarray(_to_8_bits(pixels, bits=bits_in_use(pixels)))
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    channels = 4 if image.has_transparency_data else 3
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[2:] != (channels,):
        return image
    colours = pixels[..., 2::-1]
    colours = _to_8_bits(colours, bits=bits_in_use(colours))
    alpha = _to_8_bits(pixels[..., 3:], bits=16)
    return Image.fromarray(np.concatenate([colours, alpha], axis=-1))


def bits_in_use(pixels: np.ndarray) -> int:
    """How many bits a picture of 16 bits has, which a camera may have filled from below.

    8, 10, 12 or 14 where no pixel has more, unless the lowest bits are never used, or all pixels
    are 8 bits written twice: such a picture of 16 bits is only dark.
    """
    highest = int(pixels.max())
    if not (pixels & 15).any() or not (pixels % 257).any():
        return 16
    return next((bits for bits in (8, 10, 12, 14) if highest < 2**bits), 16)


def _to_8_bits(pixels: np.ndarray, *, bits: int) -> np.ndarray:
    return (pixels >> (bits - 8)).astype(np.uint8)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        # Pillow would clip at 255. Such a file states its highest value, which has become 65535.
        image = Image.fromarray(_to_8_bits(np.asarray(image), bits=16))
    if image.mode in ("I", "F"):
        raise ValueError("channels must be whole numbers of at most 16 bits")
    if image.has_transparency_data:
        # On white, as programs show it: under what is transparent may lie any colour.
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
