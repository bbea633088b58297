"""Every kind of file that a client may send: the right pixels, or one message and no answer."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ran_tf.exports import decode
from ran_tf.images import decoding
from tests.exports.test_export import random_faces
from tests.fixtures.image_files import camera_pixels, encode, png_that_claims

COLOUR = random_faces(41, 57)
GREY = COLOUR[..., 0]
GREYS = np.stack([GREY] * 3, axis=-1)
WIDE, TALL = (np.zeros(shape, np.uint8) for shape in ((2, 20_000, 3), (20_000, 1, 3)))
# A picture that survives JPEG.
_ROWS, _COLUMNS = np.meshgrid(np.linspace(0, 255, 40), np.linspace(0, 255, 56), indexing="ij")
SMOOTH = np.stack([_ROWS, _COLUMNS, 255 - _ROWS], axis=-1).astype(np.uint8)


def animated(*frames: np.ndarray, kind: str = "GIF") -> bytes:
    first, *others = (Image.fromarray(frame) for frame in frames)
    return encode(first, kind, save_all=True, append_images=others)


_SIDEWAYS = Image.Exif()
_SIDEWAYS[0x0112] = 6  # orientation: turn a quarter to the right

_JPEG, _PNG = encode(COLOUR, "JPEG"), encode(COLOUR, "PNG")
# In a segment of the header, as cameras have it.
_THUMBNAIL = encode(SMOOTH[::4, ::4], "JPEG")
_CUT = _THUMBNAIL[:-2] + b"\0\0"
_WITH_THUMBNAIL = (
    (whole := encode(SMOOTH, "JPEG", quality=95))[:2]
    + b"\xff\xe1"
    + struct.pack(">H", 2 + len(_THUMBNAIL))
    + _THUMBNAIL
    + whole[2:]
)

ANSWERED = {
    "png": (encode(COLOUR, "PNG"), COLOUR),
    "bmp": (encode(COLOUR, "BMP"), COLOUR),
    "grey png": (encode(GREY, "PNG"), GREYS),
    "grey bmp": (encode(GREY, "BMP"), GREYS),
    "grey jpeg": (encode(np.full((9, 9), 77, np.uint8), "JPEG"), np.full((9, 9, 3), 77)),
    "rgba png": (encode(np.dstack([COLOUR, GREY]), "PNG"), COLOUR),
    "grey alpha png": (
        encode(Image.fromarray(GREY).convert("LA"), "PNG"),
        GREYS,
    ),
    "16 bit png": (tf.io.encode_png(COLOUR.astype(np.uint16) * 257).numpy(), COLOUR),
    **{
        f"{bits} of 16 bits, {pixels.shape[-1]} channels": (
            tf.io.encode_png(pixels).numpy(),
            decoding.decode_image(tf.io.encode_png(pixels).numpy()),
        )
        for bits in (8, 10, 12, 14, 15)
        for pixels in (camera_pixels(bits, (9, 8, 1)), camera_pixels(bits, (9, 8, 3)))
    },
    "dark, 16 bits": (
        tf.io.encode_png(COLOUR.astype(np.uint16) // 8 * 257).numpy(),
        COLOUR // 8,
    ),
    "one pixel": (encode(COLOUR[:1, :1], "PNG"), COLOUR[:1, :1]),
    "20,000 pixels wide": (encode(WIDE, "PNG"), WIDE),
    "20,000 pixels tall": (encode(TALL, "PNG"), TALL),
    "animated gif": (animated(GREY, 255 - GREY), GREYS),
    "animated png": (animated(COLOUR, 255 - COLOUR, kind="PNG"), COLOUR),
    "cmyk jpeg": (encode(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95), SMOOTH),
    "progressive jpeg": (encode(SMOOTH, "JPEG", progressive=True, quality=95), SMOOTH),
    "jpeg with a thumbnail": (_WITH_THUMBNAIL, SMOOTH),
    "jpeg with a film behind it": (_WITH_THUMBNAIL + b"\xff\xda\xff\xd9\xff\xda", SMOOTH),
    # Segments of a header may hold anything.
    "jpeg with a thumbnail without end": (_WITH_THUMBNAIL.replace(_THUMBNAIL, _CUT), SMOOTH),
    "png with junk behind it": (_PNG + b"junk", COLOUR),
    "gif with zeros behind it": (animated(GREY) + bytes(5) + b"\n", GREYS),
    # Read as it is stored: a client that wants it upright turns it.
    "sideways jpeg": (encode(SMOOTH, "JPEG", exif=_SIDEWAYS, quality=95), SMOOTH),
}

_EARLY = r"`image_bytes\[1\]` ends too early. Received: \d+ bytes"

REFUSED = {
    "nothing": (b"", r"image_bytes\[1\]` must be a JPEG, PNG, BMP or GIF file.*0 bytes"),
    "text": (b"no image", r"must be a JPEG, PNG, BMP or GIF file.*8 bytes"),
    "webp": (encode(COLOUR, "WEBP"), r"must be a JPEG, PNG, BMP or GIF file"),
    "start of a jpeg": (b"\xff\xd8\xff", r"image_bytes\[1\]` ends too early. Received: 3 bytes"),
    "start of a png": (b"\x89PNG\r\n\x1a\n", _EARLY),
    "half a jpeg": (_JPEG[: len(_JPEG) // 2], _EARLY),
    "jpeg without its end": (_JPEG[:-2], _EARLY),
    "half a jpeg with a thumbnail": (_WITH_THUMBNAIL[:-99], _EARLY),
    "half a png": (_PNG[: len(_PNG) // 2], _EARLY),
    "png without its end": (_PNG[:-12], _EARLY),
    "half a gif": (animated(GREY)[:1000], _EARLY),
    "gif without its end": (animated(GREY)[:-1], _EARLY),
    "half a bmp": (encode(COLOUR, "BMP")[:500], _EARLY),
    "bmp without its last byte": (encode(COLOUR, "BMP")[:-1], _EARLY),
    # TensorFlow's own message.
    "damaged png": (_PNG.replace(b"IDAT", b"JDAT"), "PNG"),
    "bmp with a palette": (encode(Image.fromarray(COLOUR).convert("P"), "BMP"), "grey palette"),
    "too many pixels, png": (
        png_that_claims(20_000, 20_000),
        r"`image_bytes\[1\]` must have at most 16,777,216 pixels.*20000 rows of 20000 pixels",
    ),
    "absurd png": (png_that_claims(2**31 - 1, 2**31 - 1), "at most 16,777,216 pixels"),
    "too many pixels, jpeg": (
        _JPEG.replace(struct.pack(">HH", 41, 57), struct.pack(">HH", 60_000, 50_000)),
        "60000 rows of 50000",
    ),
    "too many pixels, gif": (
        b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + bytes(99),
        "60000 rows of 60000",
    ),
    "too many pixels, bmp": (
        b"BM" + bytes(16) + struct.pack("<ii", 60_000, -60_000) + bytes(99),
        "60000 rows of 60000",
    ),
    "long gif": (animated(GREY) + bytes(2**18), "at most 262,144 bytes"),
    "long jpeg": (_JPEG + bytes(2**24), "at most 16,777,216 bytes"),
}


@pytest.fixture(scope="module")
def decode_one():
    return tf.function(
        lambda data: decode.decode_bytes(data, index=1),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


@pytest.mark.parametrize("name", ANSWERED)
def test_pixels(decode_one, name):
    data, pixels = ANSWERED[name]
    # JPEG loses a little.
    atol = 10 if data[:2] == b"\xff\xd8" else 0
    got = decode_one(data).numpy()
    assert got.dtype == np.uint8 and got.shape == pixels.shape
    np.testing.assert_allclose(got.astype(int), pixels, atol=atol)


FLIPPED = {kind: encode(SMOOTH, kind) for kind in ("JPEG", "PNG", "BMP")} | {"GIF": animated(GREY)}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(FLIPPED)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.floats(0.01, 1),
)
def test_flipped_bytes_are_pixels_or_a_message(decode_one, kind, changes, length):
    """In this process, which a crash of the decoder would end."""
    data = bytearray(FLIPPED[kind])
    for place, value in changes:
        # Most of them in the header, where they matter.
        data[int(place**3 * (len(data) - 1))] = value
    try:
        pixels = decode_one(bytes(data[: int(length * len(data))])).numpy()
    except tf.errors.InvalidArgumentError as error:
        assert error.message
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[-1] == 3 and pixels.size


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(decode_one, name):
    data, message = REFUSED[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode_one(data)


def test_served_bytes_are_resized_like_images(small_export):
    signatures = small_export.loaded.signatures
    out = signatures["serving_default"](
        image_bytes=tf.constant([data for data, _ in ANSWERED.values()])
    )
    for i, (name, (data, _)) in enumerate(ANSWERED.items()):
        pixels = decode.decode_bytes(tf.constant(data))
        alone = signatures["images"](images=pixels[tf.newaxis])
        for output in ("probabilities", "weights"):
            np.testing.assert_allclose(out[output][i], alone[output][0], atol=1e-5, err_msg=name)


def test_one_bad_image_fails_its_request_and_no_other(small_export):
    call = small_export.loaded.signatures["serving_default"]
    good = call(image_bytes=tf.constant([_PNG]))
    for data, message in REFUSED.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call(image_bytes=tf.constant([_PNG, data]))
    again = call(image_bytes=tf.constant([_PNG]))
    np.testing.assert_array_equal(good["probabilities"], again["probabilities"])
