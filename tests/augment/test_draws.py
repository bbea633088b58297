"""Named random numbers: against Python's integers, and what they depend on."""

import zlib

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.augment import draws
from ran_tf.data import ops


def mixed_by_hand(x):
    """Wellons' lowbias32 in Python's unbounded integers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) % 2**32
    return x ^ (x >> 16)


def test_numbers_are_the_hash_of_key_and_name():
    keys = draws.face_keys(5, np.array([0, 1, 2**31, 2**40]))
    got = np.asarray(draws.make_draw(keys)("flip", 3))
    for row, key in zip(got, keys, strict=True):
        for i, value in enumerate(row):
            salt = zlib.crc32(f"flip/{i}".encode())
            want = mixed_by_hand(mixed_by_hand(int(key) % 2**32) ^ salt) >> 8
            assert value == np.float32(want / 2**24)


def test_keys_are_the_hash_of_seed_and_position():
    for seed, position in ((0, 0), (3, 7), (2**31, 2**40 + 1)):
        high, low = divmod(position, 2**32)
        want = mixed_by_hand(mixed_by_hand(mixed_by_hand(seed % 2**32) ^ high) ^ low)
        assert int(draws.face_keys(seed, np.array([position]))[0]) % 2**32 == want


@pytest.mark.parametrize("names", [("flip", "angle"), ("a/chance", "b/chance")])
def test_another_name_or_seed_or_face_has_other_numbers(names):
    keys = draws.face_keys(0, np.arange(20_000))
    columns = [np.asarray(draws.make_draw(keys)(name)) for name in names]
    columns.append(np.asarray(draws.make_draw(draws.face_keys(1, np.arange(20_000)))(names[0])))
    columns.append(np.roll(columns[0], 1))
    off = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(off).max() < 0.035  # five standard deviations of 1 / sqrt(20,000)
    for column in columns:
        counts, _ = np.histogram(column, bins=20, range=(0, 1))
        assert np.abs(counts - 1000).max() < 160 and column.min() >= 0 and column.max() < 1


def test_a_face_draws_the_same_whatever_is_beside_it_and_on_the_host():
    positions = np.array([63, 0, 7, 64, 123_456_789_012], np.int64)
    keys = draws.face_keys(3, positions)
    batch = np.asarray(draws.make_draw(keys)("x", 5))
    alone = [np.asarray(draws.make_draw(keys[i : i + 1])("x", 5))[0] for i in range(5)]
    np.testing.assert_array_equal(batch, alone)
    np.testing.assert_array_equal(batch[:, 0], draws.make_draw(keys)("x"))
    np.testing.assert_array_equal(draws.draw_numpy(keys, "x", 5), batch)
    mapped = tf.data.Dataset.from_tensors(positions).map(lambda p: ops.face_keys(p, seed=3))
    np.testing.assert_array_equal(mapped.get_single_element(), keys)
    drawn = tf.data.Dataset.from_tensors(keys).map(lambda k: draws.make_draw(k)("x", 5))
    np.testing.assert_array_equal(drawn.get_single_element(), batch)
    # A share of a last batch may hold no face.
    assert draws.make_draw(keys[:0])("x", 2).shape == (0, 2)
