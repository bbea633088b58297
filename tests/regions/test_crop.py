"""Crops against a pixel-by-pixel oracle; the fast path against the portable one."""

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.regions.crop import crop_with_matrices


def oracle(image, box, size):
    """Bilinear, half-pixel centres, edge-clamped, one pixel at a time, in float64."""
    height, width, channels = image.shape
    out = np.zeros((*size, channels))
    y0, x0, y1, x1 = (float(v) for v in box)
    for i in range(size[0]):
        y = np.clip((y0 + (i + 0.5) / size[0] * (y1 - y0)) * height - 0.5, 0, height - 1)
        top, fy = int(y), y - int(y)
        below = min(top + 1, height - 1)
        for j in range(size[1]):
            x = np.clip((x0 + (j + 0.5) / size[1] * (x1 - x0)) * width - 0.5, 0, width - 1)
            left, fx = int(x), x - int(x)
            right = min(left + 1, width - 1)
            out[i, j] = (1 - fy) * ((1 - fx) * image[top, left] + fx * image[top, right]) + fy * (
                (1 - fx) * image[below, left] + fx * image[below, right]
            )
    return out


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (2, 13, 17, 3)).astype(np.uint8)


INSIDE = np.array([(0, 0, 1, 1), (0.1, 0.2, 0.6, 0.9), (0.5, 0.5, 0.55, 0.6)], np.float32)
OUTSIDE = np.array([(0, 0, 1, 1), (-0.3, -0.1, 0.5, 0.4), (0.6, 0.7, 1.4, 1.2)], np.float32)
# On the right and below alone: none of them is seen by its negative side.
BEYOND = np.array([(0, 0, 1, 1), (0.6, 0.7, 1.4, 1.2), (0.2, 0.3, 0.7, 1.1)], np.float32)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("boxes", [INSIDE, OUTSIDE, BEYOND], ids=["inside", "outside", "beyond"])
@pytest.mark.parametrize("size", [(9, 11), (26, 34), (1, 1)])
def test_crops_equal_the_oracle(faces, boxes, size, portable):
    crops = ran_tf.crop_regions(faces, boxes, size=size, portable=portable)
    assert crops.shape == (2, 3, *size, 3)
    expected = np.stack([[oracle(face, box, size) for box in boxes] for face in faces])
    # The kernel computes positions as fractions of the image: 5e-5 of 255.
    np.testing.assert_allclose(crops, expected, atol=0.0128)


@pytest.mark.parametrize("boxes", [INSIDE, OUTSIDE, BEYOND], ids=["inside", "outside", "beyond"])
def test_matrices_cut_what_the_oracle_cuts(faces, boxes):
    planes = tf.transpose(tf.cast(faces, tf.float32), [0, 3, 1, 2])
    crops = crop_with_matrices(planes, boxes, size=(9, 11))
    expected = np.stack([[oracle(face, box, (9, 11)) for box in boxes] for face in faces])
    np.testing.assert_allclose(crops, expected, atol=1e-3)


def test_whole_face_at_its_own_size_is_the_face(faces):
    crops = ran_tf.crop_regions(faces, ran_tf.fixed_boxes(1), size=(13, 17))
    np.testing.assert_allclose(crops[:, 0], faces, atol=1e-3)


def test_works_in_tf_data(faces):
    def cut(face):
        return ran_tf.crop_regions(face[None], INSIDE, size=(8, 8))[0]

    mapped = tf.data.Dataset.from_tensor_slices(faces).map(cut).batch(2).get_single_element()
    np.testing.assert_allclose(mapped, ran_tf.crop_regions(faces, INSIDE, size=(8, 8)), atol=1e-3)


def test_portable_twin_compiles_under_xla_and_has_gradients(faces):
    @tf.function(jit_compile=True)
    def cut(image, boxes):
        return ran_tf.crop_regions(image, boxes, size=(8, 8), portable=True)

    boxes = tf.constant(np.tile(INSIDE[1:2], (2, 1, 1)))
    image = tf.constant(faces, tf.float32)
    np.testing.assert_allclose(
        cut(image, boxes), ran_tf.crop_regions(image, boxes, size=(8, 8)), atol=0.0128
    )
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        total = tf.reduce_sum(cut(image, boxes))
    gradient = tape.gradient(total, boxes)
    step = 1e-3
    moved = boxes + step * tf.constant([0.0, 1.0, 0.0, 0.0])
    rise = tf.reduce_sum(cut(image, moved)) - tf.reduce_sum(
        cut(image, boxes - step * tf.constant([0.0, 1.0, 0.0, 0.0]))
    )
    np.testing.assert_allclose(tf.reduce_sum(gradient[..., 1]), rise / (2 * step), rtol=0.02)


def test_wrong_shapes_are_named(faces):
    with pytest.raises(ValueError, match=r"`image` must have shape.*image.shape=\(13, 17, 3\)"):
        ran_tf.crop_regions(faces[0], INSIDE, size=(8, 8))
    with pytest.raises(ValueError, match=r"`boxes` must have shape.*boxes.shape=\(3,\)"):
        ran_tf.crop_regions(faces, INSIDE[0, :3], size=(8, 8))
    with pytest.raises(ValueError, match="`image` must be u8 or f32.*bool"):
        ran_tf.crop_regions(faces > 9, INSIDE, size=(8, 8))
