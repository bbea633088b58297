"""Any image file becomes the right pixels, or one clear error, before it can fill the memory."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ran_tf import images

RED, GREEN, BLUE, YELLOW = (200, 30, 40), (20, 180, 60), (30, 60, 190), (220, 200, 30)


def quarters(height=24, width=32):
    """u8[h, w, 3]: red and green above blue and yellow."""
    picture = np.zeros((height, width, 3), np.uint8)
    half = (height // 2, width // 2)
    for rows, columns, colour in (
        (slice(half[0]), slice(half[1]), RED),
        (slice(half[0]), slice(half[1], None), GREEN),
        (slice(half[0], None), slice(half[1]), BLUE),
        (slice(half[0], None), slice(half[1], None), YELLOW),
    ):
        picture[rows, columns] = colour
    return picture


PICTURE = quarters()
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))


def encode(picture, format, **options):
    """Bytes of an array or a Pillow image."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def check_close(decoded, expected, *, most=0):
    """Pixels agree, away from edges, which a lossy format blurs."""
    assert decoded.dtype == np.uint8 and decoded.shape == expected.shape
    inner = np.ones(expected.shape[:2], bool)
    for axis in (0, 1):
        middle = expected.shape[axis] // 2
        inner[(slice(None),) * axis + (slice(middle - 4, middle + 4),)] = False
    difference = np.abs(decoded[inner].astype(int) - expected[inner].astype(int))
    assert difference.max() <= most


def as_grey(grey):
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("data", "expected", "most"),
    [
        pytest.param(encode(PICTURE, "PNG"), PICTURE, 0, id="png"),
        pytest.param(encode(PICTURE, "BMP"), PICTURE, 0, id="bmp"),
        pytest.param(encode(PICTURE, "TIFF"), PICTURE, 0, id="tiff"),
        pytest.param(encode(PICTURE, "WEBP", lossless=True), PICTURE, 0, id="webp"),
        pytest.param(encode(PICTURE, "JPEG", quality=95), PICTURE, 6, id="jpeg"),
        pytest.param(
            encode(PICTURE, "JPEG", quality=95, progressive=True), PICTURE, 6, id="progressive"
        ),
        pytest.param(encode(GREY, "PNG"), as_grey(GREY), 0, id="grey png"),
        pytest.param(encode(GREY, "JPEG", quality=95), as_grey(GREY), 3, id="grey jpeg"),
        pytest.param(
            cv2.imencode(".png", GREY.astype(np.uint16) * 257)[1].tobytes(),
            as_grey(GREY),
            0,
            id="16 bit grey png",
        ),
        pytest.param(
            cv2.imencode(".tiff", GREY.astype(np.uint16) * 257)[1].tobytes(),
            as_grey(GREY),
            0,
            id="16 bit grey tiff",
        ),
        pytest.param(
            cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)[1].tobytes(),
            PICTURE,
            0,
            id="16 bit png",
        ),
        pytest.param(
            cv2.imencode(".tiff", PICTURE[..., ::-1].astype(np.uint16) * 257)[1].tobytes(),
            PICTURE,
            0,
            id="16 bit tiff",
        ),
        pytest.param(
            encode(Image.fromarray(PICTURE).quantize(4), "PNG"), PICTURE, 2, id="palette png"
        ),
        pytest.param(encode(Image.fromarray(PICTURE).quantize(4), "GIF"), PICTURE, 2, id="gif"),
        pytest.param(
            encode(Image.fromarray(GREY > 110), "PNG"), as_grey(255 * (GREY > 110)), 0, id="1 bit"
        ),
        pytest.param(
            encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95),
            PICTURE,
            8,
            id="cmyk jpeg",
        ),
        pytest.param(
            encode(Image.fromarray(PICTURE).convert("CMYK"), "TIFF"), PICTURE, 2, id="cmyk tiff"
        ),
        pytest.param(
            encode(Image.fromarray(PICTURE), "PNG")[:-12], PICTURE, 0, id="png without its end"
        ),
    ],
)
def test_every_kind_of_file(data, expected, most):
    check_close(images.decode_image(data), expected, most=most)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_white(format):
    """Whatever colour lies under it; half-transparent pixels are half white."""
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:12, :16, 3], rgba[12:, :16, 3] = 0, 128
    expected = PICTURE.copy()
    expected[:12, :16] = 255
    expected[12:, :16] = np.round(np.array(BLUE) * 128 / 255 + 255 * (127 / 255))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    check_close(images.decode_image(encode(rgba, format, **options)), expected, most=1)


def test_transparent_entries_of_a_palette():
    palette = Image.fromarray(PICTURE).quantize(4)
    hidden = palette.getpixel((0, 0))
    expected = PICTURE.copy()
    expected[:12, :16] = 255
    for format in ("PNG", "GIF"):
        decoded = images.decode_image(encode(palette, format, transparency=hidden))
        check_close(decoded, expected, most=2)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(format):
    frames = [Image.fromarray(PICTURE[::step]) for step in (1, -1)]
    if format == "GIF":
        frames = [frame.quantize(4) for frame in frames]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    check_close(images.decode_image(data), PICTURE, most=2)


# How a stored picture becomes upright, in NumPy, from the table of the EXIF standard.
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, k=-1),
    7: lambda p: np.rot90(p, k=2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, k=1),
    9: lambda p: p,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = (
        {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    )
    data = encode(PICTURE, format, exif=exif, **options)
    decoded = images.decode_image(data)
    check_close(decoded, UPRIGHT[orientation](PICTURE), most=6)
    # OpenCV reads these formats' EXIF, too, but takes no note of a TIFF's.
    if format == "JPEG":
        check_close(decoded, cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1], most=6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_no_hindrance():
    data = encode(PICTURE, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    check_close(images.decode_image(data), PICTURE, most=6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 3)])
def test_extreme_shapes(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(images.decode_image(encode(picture, "PNG")), picture)
    assert images.decode_image(encode(picture, "JPEG")).shape == picture.shape


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
TRUNCATABLE = {
    "JPEG": encode(NOISE, "JPEG"),
    "PNG": encode(NOISE, "PNG"),
    "GIF": encode(Image.fromarray(NOISE).quantize(64), "GIF"),
    "WEBP": encode(NOISE, "WEBP"),
    "BMP": encode(NOISE, "BMP"),
    "TIFF": encode(NOISE, "TIFF"),
    "TIFF LZW": encode(NOISE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("format", TRUNCATABLE)
def test_truncated_files_are_errors(format, share):
    data = TRUNCATABLE[format]
    with pytest.raises(ValueError, match=r"ends too early|damaged|not an image.*Received: "):
        images.decode_image(data[: int(share * len(data))])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"no image", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%!PS-Adobe-3.0 EPSF"],
)
def test_no_image(data):
    with pytest.raises(
        ValueError, match=r"not an image that can be read, or not all of it .*JPEG.*Received: \d"
    ):
        images.decode_image(data)


def test_unusual_numbers_are_refused():
    with pytest.raises(ValueError, match="at most 16 bits"):
        images.decode_image(encode(GREY.astype(np.float32), "TIFF"))


def _png_header(width, height):
    """A PNG that says how large it is and holds nothing to speak of."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8193, 8192), (10_000, 9_000), (20_000, 20_000), (2**31 - 1, 9)])
def test_bombs_are_refused_by_their_header(size, recwarn):
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match="at most 67,108,864 pixels; make it smaller.*Received"
        ):
            images.decode_image(_png_header(*size))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert images.MAX_PIXELS == 8192 * 8192


def test_files(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode(PICTURE, "PNG"))
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), PICTURE)
    with pytest.raises(FileNotFoundError):
        images.read_image(tmp_path / "b.png")
    with pytest.raises(ValueError, match="`path` must be a file"):
        images.read_image("/dev/zero")
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    for read in (images.read_image, lambda path: images.decode_image(path.read_bytes())):
        with pytest.raises(ValueError, match=r"at most 50 bytes\. Received: \d+ bytes"):
            read(tmp_path / "a.png")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    format=st.sampled_from(sorted(TRUNCATABLE)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
@pytest.mark.filterwarnings("ignore")  # Pillow's, of metadata that make no sense
def test_flipped_bytes_give_pixels_or_one_kind_of_error(format, changes):
    data = bytearray(TRUNCATABLE[format])
    for place, value in changes:
        # Most of them in the header, where they matter.
        data[int(place**3 * (len(data) - 1))] = value
    try:
        decoded = images.decode_image(bytes(data))
    except ValueError as error:
        assert "Received: " in str(error)
    else:
        assert decoded.dtype == np.uint8 and decoded.ndim == 3
