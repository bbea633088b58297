"""What cameras and networks do to people's photos, one flaw a face, on the accelerator.

Pure functions of faces and named draws, in Keras ops. Evaluation has flaws by code of its own
(`evaluation.robustness.degradations`), JPEG by a real encoder among them.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from keras import ops

from ran_tf.augment import occlude

# Sides that a face is shrunk to before it is enlarged again, pixels.
_FEW_PIXELS = (34, 28, 24, 20, 17, 14, 12, 10)
# Of the least to the best JPEG quality, and samples along a movement.
_QUALITY = (4.0, 40.0)
_TAPS = 9
# Largest movement, fraction of the side.
_MOVEMENT = 0.22

# Luminance, table K.1 of ITU-T T.81.
_QUANTA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def spoil(image, draw: Callable, *, chance: float):
    """Gives some faces a flaw: JPEG, few pixels, fog, little or much light, movement, noise.

    Args:
      image: f32[b, H, W, C] in 0..255.
      draw: gives f32[b] in 0..1 for a name: chance, flaw, strength, x, y.
      chance: probability that a face has one.

    Returns:
      f32[b, H, W, C] in 0..255.
    """
    strength = draw("strength")
    spoilt = (
        _jpeg(image, strength),
        _few_pixels(image, strength),
        _fog(image, strength, draw("x"), draw("y")),
        _little_light(image, strength),
        _much_light(image, strength),
        _movement(image, strength, draw("x")),
        _noise(image, strength, draw("x")),
    )
    flaw = draw("flaw") * len(spoilt)
    chosen = draw("chance") < chance
    result = image
    for i, one in enumerate(spoilt):
        here = chosen & (flaw >= i) & (flaw < i + 1)
        result = ops.where(here[:, None, None, None], one, result)
    return ops.clip(result, 0.0, 255.0)


def _jpeg(image, strength):
    """Each 8 x 8 square's cosines rounded to multiples of the standard's table."""
    _, height, width, _ = image.shape
    low, high = _QUALITY
    quality = low + (1.0 - strength) * (high - low)
    # As libjpeg makes tables of a quality below 50.
    quanta = ops.clip(_QUANTA * (50.0 / quality)[:, None, None], 1.0, 255.0)
    rows, columns = -(-height // 8), -(-width // 8)
    beyond = [[0, 0], [0, 8 * rows - height], [0, 8 * columns - width], [0, 0]]
    padded = ops.pad(image, beyond, mode="symmetric") - 128.0
    down, across = _cosines(rows), _cosines(columns)
    waves = ops.einsum("uj,bjwc->buwc", down, padded)
    waves = ops.einsum("vj,bujc->buvc", across, waves)
    steps = ops.tile(quanta, (1, rows, columns))[..., None]
    waves = ops.round(waves / steps) * steps
    squares = ops.einsum("uj,buvc->bjvc", down, waves)
    squares = ops.einsum("vj,bivc->bijc", across, squares)
    return ops.clip(squares[:, :height, :width] + 128.0, 0.0, 255.0)


@functools.cache
def _cosines(squares: int) -> np.ndarray:
    """The orthonormal cosine transform of each 8 pixels: f32[8 squares waves, 8 squares pixels]."""
    waves, pixels = np.mgrid[0:8, 0:8]
    matrix = np.cos(np.pi * (2 * pixels + 1) * waves / 16) / 2
    matrix[0] /= np.sqrt(2)
    return np.kron(np.eye(squares), matrix).astype(np.float32)


def _few_pixels(image, strength):
    """Shrunk by areas and enlarged again, between pixels along straight lines."""
    _, height, width, _ = image.shape
    which = ops.cast(strength * (len(_FEW_PIXELS) - 1e-3), "int32")
    rows = ops.take(ops.convert_to_tensor(_shrinks(height)), which, axis=0)
    columns = ops.take(ops.convert_to_tensor(_shrinks(width)), which, axis=0)
    image = ops.einsum("bij,bjwc->biwc", rows, image)
    return ops.einsum("bij,bhjc->bhic", columns, image)


@functools.cache
def _shrinks(side: int) -> np.ndarray:
    """For each of `_FEW_PIXELS` what it makes of a row: f32[n, side, side]."""
    edges = np.arange(side + 1.0)
    made = []
    for few in _FEW_PIXELS:
        cuts = np.arange(few + 1) * side / few
        low = np.maximum(edges[None, :-1], cuts[:-1, None])
        high = np.minimum(edges[None, 1:], cuts[1:, None])
        shrunk = np.maximum(high - low, 0.0) * few / side
        place = np.clip((np.arange(side) + 0.5) * few / side - 0.5, 0.0, few - 1.0)
        left = np.minimum(place.astype(int), few - 2)
        enlarged = np.zeros((side, few))
        enlarged[np.arange(side), left] = 1.0 - (place - left)
        enlarged[np.arange(side), left + 1] = place - left
        made.append(enlarged @ shrunk)
    return np.stack(made).astype(np.float32)


def _fog(image, strength, x, y):
    """Light veil, denser to one side."""
    _, height, width, _ = image.shape
    across = ops.linspace(-1.0, 1.0, width, dtype="float32") * (2.0 * x - 1.0)[:, None]
    down = ops.linspace(-1.0, 1.0, height, dtype="float32") * (2.0 * y - 1.0)[:, None]
    lean = 0.15 * (across[:, None, :] + down[:, :, None])
    share = ops.clip(0.4 + 0.45 * strength[:, None, None] + lean, 0.0, 0.92)[..., None]
    return (1.0 - share) * image + share * (190.0 + 60.0 * x)[:, None, None, None]


def _little_light(image, strength):
    """A twelfth to a half of it, in whole grey levels."""
    return ops.round(image * (0.5 - 0.42 * strength)[:, None, None, None])


def _much_light(image, strength):
    """Up to three times of it: what is bright becomes white."""
    return ops.clip(image * (1.3 + 1.7 * strength)[:, None, None, None], 0.0, 255.0)


def _movement(image, strength, direction):
    """The mean along a straight line, whole pixels."""
    _, height, width, channels = image.shape
    angle = direction * math.pi
    length = (0.06 + (_MOVEMENT - 0.06) * strength) * height
    flat = ops.reshape(image, (-1, channels))
    first = ops.arange(ops.shape(image)[0], dtype="int32")[:, None, None] * (height * width)
    rows = ops.arange(height, dtype="int32")[None, :, None]
    columns = ops.arange(width, dtype="int32")[None, None, :]
    total = 0.0
    for along in np.linspace(-0.5, 0.5, _TAPS):
        down = ops.cast(ops.round(along * length * ops.sin(angle)), "int32")[:, None, None]
        right = ops.cast(ops.round(along * length * ops.cos(angle)), "int32")[:, None, None]
        row = ops.clip(rows + down, 0, height - 1)
        column = ops.clip(columns + right, 0, width - 1)
        total = total + ops.take(flat, first + row * width + column, axis=0)
    return total / _TAPS


def _noise(image, strength, seed):
    """Uniform noise, up to 80 grey levels."""
    _, height, width, _ = image.shape
    noise = 2.0 * occlude.hash_noise(seed, height=height, width=width, cell=1) - 1.0
    return image + (80.0 * strength[:, None, None] * noise)[..., None]
