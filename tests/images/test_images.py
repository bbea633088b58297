"""Any image file becomes the right pixels, or one clear error, before it can fill the memory."""

import io
import os
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from ran_tf.images import decoding
from tests.fixtures.image_files import HEIC, camera_pixels, damaged_jpeg, encode, png_that_claims

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


def check_close(decoded, expected, *, most=0):
    """Pixels agree, away from edges, which a lossy format blurs."""
    expected = np.asarray(expected)
    assert decoded.dtype == np.uint8 and decoded.shape == expected.shape
    inner = np.ones(expected.shape[:2], bool)
    for axis in (0, 1) if expected.size > 3 else ():
        middle = expected.shape[axis] // 2
        inner[(slice(None),) * axis + (slice(middle - 4, middle + 4),)] = False
    difference = np.abs(decoded[inner].astype(int) - expected[inner].astype(int))
    assert difference.max() <= most


def as_grey(grey):
    return np.repeat(grey[..., None], 3, axis=-1)


def deep(ending, pixels):
    """Of 16 bits a colour; OpenCV's order."""
    return cv2.imencode(f".{ending}", pixels.astype(np.uint16) * 257)[1].tobytes()


PALETTE, CMYK = Image.fromarray(PICTURE).quantize(4), Image.fromarray(PICTURE).convert("CMYK")
KINDS = {
    "png": (encode(PICTURE, "PNG"), PICTURE, 0),
    "bmp": (encode(PICTURE, "BMP"), PICTURE, 0),
    "tiff": (encode(PICTURE, "TIFF"), PICTURE, 0),
    "webp": (encode(PICTURE, "WEBP", lossless=True), PICTURE, 0),
    "jpeg": (encode(PICTURE, "JPEG", quality=95), PICTURE, 6),
    "progressive": (encode(PICTURE, "JPEG", quality=95, progressive=True), PICTURE, 6),
    "grey png": (encode(GREY, "PNG"), as_grey(GREY), 0),
    "grey jpeg": (encode(GREY, "JPEG", quality=95), as_grey(GREY), 3),
    "16 bit grey png": (deep("png", GREY), as_grey(GREY), 0),
    "16 bit grey tiff": (deep("tiff", GREY), as_grey(GREY), 0),
    "16 bit png": (deep("png", PICTURE[..., ::-1]), PICTURE, 0),
    "16 bit tiff": (deep("tiff", PICTURE[..., ::-1]), PICTURE, 0),
    "palette png": (encode(PALETTE, "PNG"), PICTURE, 2),
    "gif": (encode(PALETTE, "GIF"), PICTURE, 2),
    "1 bit": (encode(Image.fromarray(GREY > 110), "PNG"), as_grey(255 * (GREY > 110)), 0),
    "cmyk jpeg": (encode(CMYK, "JPEG", quality=95), PICTURE, 8),
    "cmyk tiff": (encode(CMYK, "TIFF"), PICTURE, 2),
    "png without its end": (encode(PICTURE, "PNG")[:-12], PICTURE, 0),
    "ppm": (encode(PICTURE, "PPM"), PICTURE, 0),
    "text ppm": (b"P3\n# a note\n1 1\n1023\n1023 0 512", [[[255, 0, 127]]], 1),
    "pgm of 10 bits": (b"P5 1 1 1023\n\x02\x00", [[[127] * 3]], 1),
    "jpeg 2000": (encode(PICTURE, "JPEG2000", irreversible=False), PICTURE, 0),
    "jpeg 2000 without a box": (encode(PICTURE, "JPEG2000", no_jp2=True), PICTURE, 0),
    "avif": (encode(PICTURE, "AVIF", quality=95), PICTURE, 8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file(kind):
    data, expected, most = KINDS[kind]
    check_close(decoding.decode_image(data), expected, most=most)


@pytest.mark.parametrize("ending", ["png", "tiff"])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
@pytest.mark.parametrize(
    ("pixels_of", "bits"),
    [
        (lambda shape: camera_pixels(8, shape), 8),
        (lambda shape: camera_pixels(10, shape), 10),
        (lambda shape: camera_pixels(12, shape), 12),
        (lambda shape: camera_pixels(14, shape), 14),
        (lambda shape: camera_pixels(16, shape), 16),
        # Dark pictures of 16 bits stay dark.
        (lambda shape: camera_pixels(15, shape), 16),
        (lambda shape: camera_pixels(4, shape) * 257, 16),
        (lambda shape: camera_pixels(6, shape, left=6), 16),
        (lambda shape: np.zeros(shape, np.uint16), 16),
    ],
)
def test_the_bits_that_a_camera_uses(ending, shape, pixels_of, bits):
    pixels = pixels_of(shape)
    expected = (pixels // 2 ** (bits - 8)).astype(np.uint8)
    data = cv2.imencode(f".{ending}", pixels)[1].tobytes()
    expected = as_grey(expected) if expected.ndim == 2 else expected[..., ::-1]
    np.testing.assert_array_equal(decoding.decode_image(data), expected)


def test_deep_colours_over_white():
    rgb = camera_pixels(16, (20, 30, 3))
    alpha = np.full((20, 30, 1), 65535, np.uint16)
    alpha[0] = 0
    data = cv2.imencode(".png", np.concatenate([rgb[..., ::-1], alpha], axis=-1))[1].tobytes()
    expected = (rgb >> 8).astype(np.uint8)
    expected[0] = 255
    np.testing.assert_array_equal(decoding.decode_image(data), expected)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_white(format):
    """Whatever colour lies under it; half-transparent pixels are half white."""
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:12, :16, 3], rgba[12:, :16, 3] = 0, 128
    expected = PICTURE.copy()
    expected[:12, :16] = 255
    expected[12:, :16] = np.round(np.array(BLUE) * 128 / 255 + 255 * (127 / 255))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    check_close(decoding.decode_image(encode(rgba, format, **options)), expected, most=1)


def test_transparent_entries_of_a_palette():
    palette = Image.fromarray(PICTURE).quantize(4)
    hidden = palette.getpixel((0, 0))
    expected = PICTURE.copy()
    expected[:12, :16] = 255
    for format in ("PNG", "GIF"):
        decoded = decoding.decode_image(encode(palette, format, transparency=hidden))
        check_close(decoded, expected, most=2)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(format):
    frames = [Image.fromarray(PICTURE[::step]) for step in (1, -1)]
    if format == "GIF":
        frames = [frame.quantize(4) for frame in frames]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    check_close(decoding.decode_image(data), PICTURE, most=2)


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
    decoded = decoding.decode_image(data)
    check_close(decoded, UPRIGHT[orientation](PICTURE), most=6)
    # OpenCV reads these formats' EXIF, too, but takes no note of a TIFF's.
    if format == "JPEG":
        check_close(decoded, cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1], most=6)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_as_it_is_stored(orientation, deep):
    """Pillow turns these as it loads them, and OpenCV those of 16 bits."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PICTURE, "TIFF", exif=exif)
    if deep:
        pixels = PICTURE[..., ::-1].astype(np.uint16) * 257
        data = cv2.imencode(".tiff", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
        data = with_tiff_orientation(data, orientation)
    np.testing.assert_array_equal(decoding.decode_image(data, upright=False), PICTURE)
    np.testing.assert_array_equal(decoding.decode_image(data), UPRIGHT[orientation](PICTURE))


def with_tiff_orientation(data, orientation):
    """A little-endian TIFF whose first directory is copied to the end, with one more entry."""
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    entries = [data[start + 2 + 12 * i :][:12] for i in range(count)]
    entries = [entry for entry in entries if entry[:2] != b"\x12\x01"]
    entries.append(struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    table = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + table


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_no_hindrance():
    data = encode(PICTURE, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    check_close(decoding.decode_image(data), PICTURE, most=6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 3)])
def test_extreme_shapes(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(decoding.decode_image(encode(picture, "PNG")), picture)
    assert decoding.decode_image(encode(picture, "JPEG")).shape == picture.shape


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
        decoding.decode_image(data[: int(share * len(data))])


FACE = astronaut()[:256, 128:384]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_damaged_jpeg_is_an_error(mode, progressive, zeros):
    """Pillow, OpenCV and TensorFlow would answer with a picture that is half grey."""
    with pytest.raises(ValueError, match=r"damaged or of an unusual kind.*Received: JPEG"):
        decoding.decode_image(damaged_jpeg(mode=mode, progressive=progressive, zeros=zeros))


def test_what_libjpeg_minds_and_pixels_do_not():
    """Zeros before the end, which some cameras write, and whatever comes behind it."""
    whole = encode(FACE, "JPEG")
    for data in (whole[:-2] + bytes(40) + whole[-2:], whole + b"a film", whole + bytes(9)):
        np.testing.assert_array_equal(decoding.decode_image(data), decoding.decode_image(whole))


def test_a_damaged_png_is_an_error():
    whole = encode(FACE, "PNG")
    with pytest.raises(ValueError, match="damaged or of an unusual kind"):
        decoding.decode_image(whole[:9000] + bytes(2000) + whole[11_000:])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEIC, r"HEIC: save it as JPEG \(on an iPhone"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL: save it as"),
        (b"<?xml version='1.0'?>\n<svg width='9'/>", "SVG: save it as PNG"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw file of a camera: save it as"),
        (encode(PICTURE, "TIFF", tiffinfo={254: 1}), "begins with a thumbnail"),
    ],
)
def test_an_image_that_is_not_read_is_named(data, said):
    with pytest.raises(ValueError, match=f"{said}.*Received: .*bytes"):
        decoding.decode_image(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"no image", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%!PS-Adobe-3.0 EPSF"],
)
def test_no_image(data):
    with pytest.raises(
        ValueError, match=r"not an image that can be read, or not all of it .*JPEG.*Received: \d"
    ):
        decoding.decode_image(data)


def test_unusual_numbers_are_refused():
    with pytest.raises(ValueError, match="at most 16 bits"):
        decoding.decode_image(encode(GREY.astype(np.float32), "TIFF"))


@pytest.mark.parametrize("size", [(8193, 8192), (10_000, 9_000), (20_000, 20_000), (2**31 - 1, 9)])
def test_bombs_are_refused_by_their_header(size, recwarn):
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match="at most 67,108,864 pixels; make it smaller.*Received"
        ):
            decoding.decode_image(png_that_claims(*size))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert decoding.MAX_PIXELS == 8192 * 8192


def test_files(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode(PICTURE, "PNG"))
    np.testing.assert_array_equal(decoding.read_image(tmp_path / "a.png"), PICTURE)
    with pytest.raises(FileNotFoundError):
        decoding.read_image(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    for no_file in ("pipe.jpg", "endless.jpg", "."):
        with pytest.raises(ValueError, match="`path` must be a file"):
            decoding.read_image(tmp_path / no_file)
    (tmp_path / "broken.jpg").symlink_to("gone.jpg")
    with pytest.raises(FileNotFoundError, match="broken.jpg"):
        decoding.read_image(tmp_path / "broken.jpg")
    monkeypatch.setattr(decoding, "MAX_BYTES", 50)
    for read in (decoding.read_image, lambda path: decoding.decode_image(path.read_bytes())):
        with pytest.raises(ValueError, match=r"at most 50 bytes\. Received: \d+ bytes"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "without"),
    [("a.JPG", "a"), ("a.b.jpeg", "a.b"), ("Aaron.Eckhart_0001", "Aaron.Eckhart_0001"), ("a", "a")],
)
def test_a_name_without_its_ending(name, without):
    assert decoding.without_suffix(name) == without
