"""Image files as cameras, phones and strangers make them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from skimage.data import astronaut

# The beginning of a photo of an iPhone.
HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHEheic"


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing to speak of."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bmp_that_claims(width: int, height: int) -> bytes:
    """Likewise."""
    header = struct.pack("<IiiHHIIIIII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def damaged_jpeg(*, zeros: bool = True, mode: str = "RGB", **options) -> bytes:
    """A face with 2,000 bytes of its middle lost, or zeros in their place."""
    encoded = io.BytesIO()
    Image.fromarray(astronaut()[:256, 128:384]).convert(mode).save(encoded, "JPEG", **options)
    whole = encoded.getvalue()
    middle = len(whole) // 2
    return whole[:middle] + (bytes(2000) if zeros else b"") + whole[middle + 2000 :]


def camera_pixels(bits: int, shape: tuple[int, ...], *, left: int = 0) -> np.ndarray:
    """u16 noise of a camera of so many bits, with that many zeros below them."""
    noise = np.random.default_rng(bits).integers(0, 2**bits, shape).astype(np.uint16)
    noise.flat[:3] = 1, 3, 2**bits - 1
    return noise << left
