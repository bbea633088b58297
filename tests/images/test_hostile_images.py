"""Images of strange bytes: pixels, or one line on why not."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from PIL import Image

from ran_tf.images import decoding
from tests.fixtures.hostile import assert_one_line, damaged, hostile


def _encode(format: str, *, mode: str = "RGB", **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    encoded = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(encoded, format, **options)
    return encoded.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PICTURES = {
    "jpeg": _encode("JPEG", exif=_turned()),
    "jpeg_progressive": _encode("JPEG", progressive=True),
    "jpeg_cmyk": _encode("JPEG", mode="CMYK"),
    "png": _encode("PNG"),
    "png_alpha": _encode("PNG", mode="LA"),
    "png_palette": _encode("PNG", mode="P", transparency=3),
    "png_16": _encode("PNG", mode="I;16"),
    "bmp": _encode("BMP"),
    "gif": _encode("GIF", save_all=True, append_images=[Image.new("P", (7, 9), i) for i in (1, 2)]),
    "webp": _encode("WEBP"),
    "webp_lossless": _encode("WEBP", mode="RGBA", lossless=True),
    "tiff": _encode("TIFF"),
    "tiff_lzw": _encode("TIFF", compression="tiff_lzw"),
    "tiff_jpeg": _encode("TIFF", compression="jpeg"),
    "tiff_float": _encode("TIFF", mode="F"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_an_image(kind):
    with pytest.raises(ValueError, match="at most 62 pixels.*Received: [79] x [79] pixels"):
        decoding.decode_image(PICTURES[kind], most_pixels=9 * 7 - 1)
    most = 2**16  # so a case is quick

    @hostile(40)
    @given(data=damaged(PICTURES[kind], most=4))
    @example(data=PICTURES[kind])
    def check(data):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of much that it can read
                pixels = decoding.decode_image(data, most_pixels=most)
        except ValueError as error:
            assert not isinstance(error, UnicodeError)
            assert_one_line(error, "Received: ")
            assert data != PICTURES[kind] or kind == "tiff_float"
            return
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == 3
        assert 0 < pixels.size <= 3 * most

    check()
