"""Whatever an item is, its answer is that of its pixels, and a bad one spoils no other."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image

import ran_tf
from ran_tf.images import decoding
from tests.exports.test_export import random_faces
from tests.fixtures.image_files import encode as encode_image
from tests.images.test_images import PICTURE


def test_encoded_items(from_workdir):
    face = random_faces(40, 30)
    png = cv2.imencode(".png", face[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", face[..., ::-1])[1].tobytes()
    array, encoded, lossy = from_workdir([face, png, jpeg])
    np.testing.assert_allclose(encoded.probabilities, array.probabilities, atol=1e-5)
    decoded = from_workdir([decoding.decode_image(jpeg)])[0]
    np.testing.assert_allclose(lossy.probabilities, decoded.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"no image", r"`images\[1\]`: not an image that can be read"),
        (b"", r"`images\[1\]`: not an image"),
        (cv2.imencode(".png", random_faces(30, 30))[1].tobytes()[:-60], r"images.*too early"),
        (cv2.imencode(".jpg", random_faces(30, 30))[1].tobytes()[:-60], r"images.*too early"),
        (np.zeros((8, 8, 3), np.float32), r"images\[1\].* must be uint8.*dtype=float32"),
        (np.zeros((8, 8), np.uint8), r"images\[1\].*\[H, W, 3\].*shape=\(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"shape=\(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), r"shape=\(0, 8, 3\)"),
        (3.5, r"images\[1\].*or its path\. Received: float"),
    ],
)
def test_bad_items_are_named(from_workdir, item, message):
    with pytest.raises(ValueError, match=message):
        from_workdir([random_faces(8, 8), item])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"pass \[image\].*shape=\(8, 8, 3\)"),
        ("faces/", r"pass \[path\].*Received: str"),
        (3, "Received: int"),
    ],
)
def test_bad_collections(from_workdir, value, message):
    with pytest.raises(ValueError, match=message):
        from_workdir(value)


def test_a_bad_item_spoils_nothing(from_workdir, tmp_path):
    """Every answer is that of the good items alone, in batches of two, in order."""
    faces = random_faces(5, 20, 20)
    cv2.imwrite(str(tmp_path / "face.png"), faces[2][..., ::-1])
    png = cv2.imencode(".png", faces[4][..., ::-1])[1].tobytes()
    bad = [b"", png[:-60], np.zeros((4, 4), np.uint8), None, tmp_path / "none.png", tmp_path]
    items = [bad[0], faces[0], bad[1], bad[2], faces[1], str(tmp_path / "face.png"), bad[3]]
    items += [bad[4], faces[3], png, bad[5]]
    answers = from_workdir(items, on_error="return")
    assert len(answers) == len(items)
    good = [answer for answer in answers if isinstance(answer, ran_tf.Prediction)]
    for prediction, alone in zip(good, from_workdir(faces), strict=True):
        np.testing.assert_allclose(prediction.probabilities, alone.probabilities, atol=1e-6)
    failed = {i: a.error for i, a in enumerate(answers) if isinstance(a, ran_tf.Failure)}
    assert list(failed) == [0, 2, 3, 6, 7, 10]
    for error, part in zip(
        failed.values(),
        ["not an image", "ends too early", "[H, W, 3]", "NoneType", "No such file", "be a file"],
        strict=True,
    ):
        assert part in error and "images[" not in error
    with pytest.raises(FileNotFoundError):
        from_workdir([faces[0], tmp_path / "none.png"])
    with pytest.raises(ValueError, match="`on_error` must be one of.*on_error='skip'"):
        from_workdir(faces, on_error="skip")


def test_every_kind_of_file_in_one_batch(from_workdir):
    """Each is answered as its pixels are, and what cannot be read spoils none of them."""
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"))
    turned, orientation = PICTURE.transpose(1, 0, 2), Image.Exif()
    orientation[0x0112] = 5  # stored with its diagonal as the axis
    clear = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    clear[:12, :, 3] = 0
    white = PICTURE.copy()
    white[:12] = 255
    frames = [Image.fromarray(part) for part in (PICTURE, PICTURE[::-1])]
    row = random_faces(1, 20_000)
    as_jpeg = {"format": "JPEG", "quality": 95}
    answered = {
        "1x1": (encode_image(PICTURE[:1, :1], "PNG"), PICTURE[:1, :1]),
        "20,000 wide": (encode_image(row, "PNG"), row),
        "grey": (encode_image(grey, "PNG"), np.stack([grey] * 3, -1)),
        "rgba": (encode_image(clear, "PNG"), white),
        "cmyk": (encode_image(Image.fromarray(PICTURE).convert("CMYK"), **as_jpeg), PICTURE),
        "16 bit": (
            cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)[1].tobytes(),
            PICTURE,
        ),
        "animated": (
            encode_image(frames[0], "PNG", save_all=True, append_images=frames[1:]),
            PICTURE,
        ),
        "exif": (encode_image(turned, "PNG", exif=orientation), PICTURE),
    }
    png, jpeg = encode_image(PICTURE, "PNG"), encode_image(PICTURE, **as_jpeg)
    # 20,000 by 20,000, says the header.
    huge = png.replace(struct.pack(">II", 32, 24), struct.pack(">II", 20_000, 20_000))
    refused = [b"text", png[:-60], jpeg[: len(jpeg) // 2], huge]
    items, want = [], []
    for i, (data, pixels) in enumerate(answered.values()):
        items += [data, refused[i % len(refused)]]
        want.append(pixels)
    answers = from_workdir(items, on_error="return")
    assert [type(answer) for answer in answers] == [ran_tf.Prediction, ran_tf.Failure] * len(want)
    expected = from_workdir(want)
    assert len({prediction.probability for prediction in expected}) > 4, "or all would agree"
    for name, got, alone in zip(answered, answers[::2], expected, strict=True):
        np.testing.assert_allclose(
            got.probabilities,
            alone.probabilities,
            # The only JPEG: its pixels are nearly the picture's.
            atol=0.02 if name == "cmyk" else 1e-5,
            err_msg=name,
        )
