"""Region dropout against a NumPy rank, and in a training step."""

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.augment import region_dropout


def example(seed=0, faces=200, k=6):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(size=(faces, k, 4)).astype(np.float32)
    mask = rng.uniform(size=(faces, k)) < 0.7
    mask[:, 0] = True
    return boxes, mask, rng.uniform(size=(faces, k - 1)).astype(np.float32)


@pytest.mark.parametrize(("k", "count"), [(6, 1), (6, 3), (6, 6), (1, 1)])
def test_picks_the_whole_face_and_the_first_in_rank(k, count):
    boxes, mask, draws = example(k=k)
    out = region_dropout.choose_regions(boxes, mask, draws, count=count)
    for i in range(len(boxes)):
        order = sorted(range(1, k), key=lambda r: (not mask[i, r], draws[i, r - 1]))
        kept = [0, *sorted(order[: count - 1])]
        np.testing.assert_array_equal(np.asarray(out["boxes"])[i], boxes[i, kept])
        np.testing.assert_array_equal(np.asarray(out["mask"])[i], mask[i, kept])


def test_every_region_is_picked_equally_often():
    boxes, mask, draws = example(faces=3000)
    boxes[:] = np.arange(6)[None, :, None]
    out = region_dropout.choose_regions(boxes, np.ones_like(mask), draws, count=3)
    counts = np.bincount(np.asarray(out["boxes"])[:, 1:, 0].astype(int).ravel(), minlength=6)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / 3000, 2 / 5, atol=0.04)


def test_the_same_inside_tf_data():
    arrays = example()
    eager = region_dropout.choose_regions(*arrays, count=3)
    data = tf.data.Dataset.from_tensors(arrays)
    (out,) = data.map(lambda *a: region_dropout.choose_regions(*a, count=3))
    for name in eager:
        np.testing.assert_array_equal(out[name], eager[name])
