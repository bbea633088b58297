"""One definition of resizing, and large faces that keep no noise, wherever they are made small."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.data import ops
from ran_tf.exports import export, signatures
from ran_tf.faces import align
from ran_tf.images import decoding, preparing, resampling
from tests.exports.test_export import LinearModel, make_card, random_faces


def weights(source: int, target: int) -> np.ndarray:
    """The definition, one axis: f64[target, source], what each output pixel is a mean of."""
    factor = source / target
    centres = (np.arange(target) + 0.5) * factor
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None])
    triangle = np.clip(1 - distance / max(factor, 1), 0, None)
    return triangle / triangle.sum(axis=1, keepdims=True)


def defined(image: np.ndarray, *, size) -> np.ndarray:
    rows, columns = (weights(*sides) for sides in zip(image.shape[:2], size, strict=True))
    return np.einsum("yi,xj,ijc->yxc", rows, columns, image.astype(float))


SHAPES = [
    ((97, 61), (48, 48)),
    ((480, 480), (48, 48)),
    ((20, 300), (32, 40)),  # larger and smaller at once
    ((30, 30), (48, 56)),
    ((48, 48), (48, 48)),
    ((1, 1), (5, 3)),
    ((5, 3), (1, 1)),
]


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_all_implementations_are_the_definition(shape, size):
    image = random_faces(*shape)
    want = defined(image, size=size)
    unknown = tf.function(
        lambda x: resampling.resize_tensor(x, size=size),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )

    @tf.function(input_signature=unknown.input_signature)
    def portable(images):
        planes = tf.transpose(tf.cast(images, tf.float32), [0, 3, 1, 2])
        return tf.transpose(resampling.resize_portable(planes, size=size), [0, 2, 3, 1])

    found = {
        "known sides": resampling.resize_tensor(tf.constant(image), size=size).numpy(),
        "unknown sides": unknown(image[None])[0].numpy(),
        "array": resampling.resize_array(image, size=size),
        "portable": portable(image[None]).numpy()[0].astype(np.uint8),
    }
    for name, got in found.items():
        assert got.dtype == np.uint8 and got.shape == (*size, 3)
        np.testing.assert_allclose(got, want, atol=0.51, err_msg=name)


def test_colour_is_taken_out_alike():
    """Every 17th of all colours, with those that lie half-way between two grey levels."""
    colours = np.arange(0, 2**24, 17, dtype=np.uint32)
    image = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
    want = (image.astype(int) @ [299, 587, 114] + 500) // 1000
    grey = preparing.prepare_face(image[None], size=(1, len(image)), grey=True)
    np.testing.assert_array_equal(grey[0], np.repeat(want[:, None], 3, axis=1))
    levels = tf.floor(preparing.luma(*tf.unstack(tf.cast(image, tf.float32), axis=-1)))
    np.testing.assert_array_equal(levels, want)


def test_enlarged_faces_are_what_they_were():
    """Training and figures on small faces rest on them: plain bilinear, to the last grey level."""
    faces = tf.constant(random_faces(3, 48, 40))
    plain = tf.cast(tf.round(tf.image.resize(faces, (100, 72), method="bilinear")), tf.uint8)
    np.testing.assert_array_equal(ops.to_face(faces, size=(100, 72)), plain)


# x, y of an upright face that fills a square, as `align_face` cuts it.
WHOLE = align.TEMPLATE


def turned(points: np.ndarray, *, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 0.5) @ turn.T + 0.5


SHRUNK = {
    "export and Predictor": lambda x: signatures.prepare_faces(
        tf.constant(x[None]), card=make_card(image_size=(48, 48))
    ).numpy()[0],
    "centre square": lambda x: align.centre_square(x, size=48),
    "align": lambda x: align.align_face(x, WHOLE * len(x) - 0.5, size=48).image,
    "align, turned": lambda x: (
        align.align_face(x, (turned(WHOLE, degrees=30) * 0.6 + 0.2) * len(x) - 0.5, size=48).image
    ),
}


@pytest.mark.parametrize("side", [110, 240, 1000])
@pytest.mark.parametrize("name", SHRUNK)
def test_large_faces_lose_their_noise(name, side):
    """A camera's noise is averaged over all pixels that become one."""
    noise = np.random.default_rng(0).normal(128, 25, (side, side, 3))
    found = SHRUNK[name](np.clip(np.round(noise), 0, 255).astype(np.uint8))
    factor = side / 48 * (0.6 if "turned" in name else 1)
    # Of a triangle filter: 2/3 of an output pixel's side, on each axis; rounding adds 1/12.
    want = np.sqrt((25 * 2 / 3 / factor) ** 2 + 1 / 12)
    assert found[4:-4, 4:-4].std() < 1.15 * want
    assert abs(found.mean() - 128) < 1


def test_an_upright_face_is_cut_as_it_is_resized():
    """`align` and a resized crop are one thing: within the grey levels of turning by 0 degrees."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (30, 30, 3)).astype(np.uint8), (300, 300))
    for side in (300, 144):
        photo = coarse[:side, :side]
        cut = align.align_face(photo, WHOLE * side - 0.5, size=48).image
        want = resampling.resize_array(photo, size=(48, 48))
        assert np.abs(cut.astype(int) - want)[2:-2, 2:-2].mean() < 1.5


@pytest.fixture(scope="module")
def linear_export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear")
    model, card = LinearModel(), make_card()
    export.write_export(model, card, export_dir=folder, check=False)
    return ran_tf.Predictor(folder), tf.saved_model.load(str(folder / "1"))


def jpegs() -> dict[str, bytes]:
    """Photos of detail and noise, as cameras and programs write them, larger than the model."""
    from PIL import Image

    from tests.fixtures.image_files import encode

    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8), (131, 123))
    photo = np.clip(coarse + rng.normal(0, 25, coarse.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(photo)
    return {
        **{
            f"subsampling {kind}, quality {quality}": encode(
                photo, "JPEG", subsampling=kind, quality=quality
            )
            for kind in (0, 1, 2)
            for quality in (40, 95)
        },
        "progressive": encode(photo, "JPEG", progressive=True, subsampling=2),
        "grey": encode(photo[..., 0], "JPEG"),
        "cmyk": encode(image.convert("CMYK"), "JPEG", quality=90),
        "odd sides": encode(photo[:9, :17], "JPEG", subsampling=2),
    }


@pytest.mark.parametrize("name", jpegs())
def test_an_export_sees_a_jpeg_as_the_predictor_does(linear_export, tmp_path, name):
    """Bytes in its graph, a file there: the same pixels, so the same answer."""
    predictor, loaded = linear_export
    path = tmp_path / "photo.jpg"
    path.write_bytes(data := jpegs()[name])
    want = predictor([path])[0]
    got = loaded.signatures["serving_default"](image_bytes=tf.constant([data]))
    np.testing.assert_allclose(got["probabilities"][0], want.probabilities, atol=1e-6)
    pixels = decoding.read_image(path)
    by_array = loaded.signatures["images"](images=tf.constant(pixels[None]))
    np.testing.assert_allclose(by_array["probabilities"][0], want.probabilities, atol=1e-6)
