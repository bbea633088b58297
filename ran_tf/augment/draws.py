"""Random numbers by name: each is a function of a face's key and of what it is for.

A key is one i32 for each face of each epoch, a function of the run's seed and of how many faces
came before. The numbers are hashes of key and name: the same on every device and backend, and a
new name changes no other's numbers. The hash is Wellons' "lowbias32" (two rounds of multiply and
xor-shift, https://nullprogram.com/blog/2018/07/31/).
"""

import zlib
from collections.abc import Callable

import numpy as np
from keras import ops

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B


def make_draw(keys) -> Callable:
    """Makes `draw(name, count=None)`: numbers uniform in 0..1, f32[b], or f32[b, count].

    Args:
      keys: i32[b], of `face_keys`.
    """
    mixed_keys = _mix(ops.cast(keys, "int32"))[:, None]

    def draw(name: str, count: int | None = None):
        # Of an array of names, so that a vector costs one hash.
        salts = _salts(name, count or 1).view(np.int32)
        # Products wrap round at 32 bits on every backend.
        mixed = _mix(ops.bitwise_xor(mixed_keys, salts[None, :]))
        uniform = ops.cast(_shift(mixed, 8), "float32") / 2.0**24
        return uniform if count is not None else uniform[:, 0]

    return draw


def signed(draw):
    """Numbers uniform in 0..1 as numbers uniform in -1..1."""
    return 2.0 * draw - 1.0


def _mix(x):
    for bits, factor in ((16, _FIRST), (15, _SECOND)):
        x = ops.bitwise_xor(x, _shift(x, bits)) * np.uint32(factor).astype(np.int32)
    return ops.bitwise_xor(x, _shift(x, 16))


def _shift(x, bits: int):
    """To the right, zeros from the left."""
    return ops.bitwise_and(ops.right_shift(x, bits), np.int32((1 << (32 - bits)) - 1))


def draw_numpy(keys: np.ndarray, name: str, count: int) -> np.ndarray:
    """What `make_draw` gives, f32[b, count], on the host: for regions in the data pipeline."""
    mixed = np.asarray(keys).astype(np.uint32)
    mixed = _mix_numpy(_mix_numpy(mixed)[:, None] ^ _salts(name, count)[None, :])
    return (mixed >> np.uint32(8)).astype(np.float32) / np.float32(2.0**24)


def face_keys(seed: int, positions: np.ndarray) -> np.ndarray:
    """The keys of faces: i32[b].

    Args:
      seed: of the run.
      positions: i64[b], how many faces came before each since training began.
    """
    positions = np.asarray(positions, np.int64)
    low, high = ((positions >> bits).astype(np.uint32) for bits in (0, 32))
    start = _mix_numpy(np.asarray([seed & 0xFFFFFFFF], np.uint32))
    return _mix_numpy(_mix_numpy(start ^ high) ^ low).view(np.int32)


def _mix_numpy(x: np.ndarray) -> np.ndarray:
    for bits, factor in ((16, _FIRST), (15, _SECOND)):
        x = (x ^ (x >> np.uint32(bits))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def _salts(name: str, count: int) -> np.ndarray:
    """u32[count]: one for each number that goes by this name."""
    return np.asarray([zlib.crc32(f"{name}/{i}".encode()) for i in range(count)], np.uint32)
