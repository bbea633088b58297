"""Occluders and degradations for training faces, pure functions of images and named draws.

An occluder is a turned rectangle or ellipse filled with one grey, with coarse noise, or with the
face's own skin and hair, upside down: hands, hair and scarves look more like the last than like
the rectangle of one colour that random erasing paints (Zhong et al. 2020).
"""

import math
from collections.abc import Callable

from keras import ops

# Side of a cell of the noise that fills an occluder, pixels.
_CELL = 3
# Binomial, standard deviation 1.4 pixels.
_BLUR = tuple(math.comb(8, i) / 2**8 for i in range(9))
# Largest deviation that the noise of a degraded face adds, of 255.
_NOISE = 50.0


def occlude(image, draw: Callable, *, chance: float, largest: float):
    """Covers a part of some faces.

    Args:
      image: f32[b, H, W, C] in 0..255.
      draw: gives f32[b] in 0..1 for a name: chance, height, width, y, x, angle, shape, fill and
        colour.
      chance: probability that a face is covered.
      largest: largest side of an occluder, fraction of the face's side; the smallest is 10 %.

    Returns:
      dict: image f32[b, H, W, C], opacity f32[b, H, W], 1 where it is covered, else 0.
    """
    _, height, width, _ = image.shape
    smallest = min(0.1, largest)
    half_height = (smallest + draw("height") * (largest - smallest)) / 2.0
    half_width = (smallest + draw("width") * (largest - smallest)) / 2.0
    y = (ops.arange(height, dtype="float32") + 0.5) / height - draw("y")[:, None]
    x = (ops.arange(width, dtype="float32") + 0.5) / width - draw("x")[:, None]
    angle = draw("angle") * math.pi
    cos, sin = (f(angle)[:, None, None] for f in (ops.cos, ops.sin))
    # Position in the occluder's own axes, in units of its half sides.
    u = ops.abs(cos * x[:, None, :] + sin * y[:, :, None]) / half_width[:, None, None]
    v = ops.abs(cos * y[:, :, None] - sin * x[:, None, :]) / half_height[:, None, None]
    distance = ops.where(
        (draw("shape") < 0.5)[:, None, None], ops.maximum(u, v), ops.sqrt(u * u + v * v)
    )
    covered = (distance < 1.0) & (draw("chance") < chance)[:, None, None]
    return {
        "image": ops.where(covered[..., None], _filling(image, draw), image),
        "opacity": ops.cast(covered, "float32"),
    }


def _filling(image, draw: Callable):
    """What an occluder shows at every pixel of the face: f32[b, H, W, C]."""
    _, height, width, _ = image.shape
    kind = draw("fill")[:, None, None, None]
    colour = 255.0 * draw("colour")[:, None, None, None]
    noise = 255.0 * hash_noise(draw("colour"), height=height, width=width, cell=_CELL)[..., None]
    own = image[:, ::-1, :, :]
    painted = ops.where(kind < 0.7, noise, own)
    return ops.where(kind < 0.4, colour, painted)


def degrade(image, draw: Callable, *, chance: float):
    """Blurs some faces and adds noise to them, both by random strength.

    Args:
      image: f32[b, H, W, C] in 0..255.
      draw: gives f32[b] in 0..1 for a name: chance, blur, noise, texture.
      chance: probability that a face is degraded.

    Returns:
      f32[b, H, W, C] in 0..255.
    """
    _, height, width, _ = image.shape
    share = draw("blur")[:, None, None, None]
    blurred = share * _blur(image) + (1.0 - share) * image
    noise = 2.0 * hash_noise(draw("texture"), height=height, width=width, cell=1) - 1.0
    # Squared: strong noise is rarer than weak.
    strength = _NOISE * draw("noise")[:, None, None] ** 2
    degraded = ops.clip(blurred + (strength * noise)[..., None], 0.0, 255.0)
    return ops.where((draw("chance") < chance)[:, None, None, None], degraded, image)


def _blur(image):
    _, height, width, _ = image.shape
    reach = len(_BLUR) // 2
    image = ops.pad(image, [[0, 0], [reach, reach], [reach, reach], [0, 0]], mode="symmetric")
    image = sum(w * image[:, i : i + height] for i, w in enumerate(_BLUR))
    return sum(w * image[:, :, i : i + width] for i, w in enumerate(_BLUR))


def hash_noise(seed, *, height: int, width: int, cell: int):
    """Noise that is a function of position and seed alone, in integers: exact on every backend.

    Args:
      seed: f32[b] in 0..1.
      height, width: of the image, pixels.
      cell: side of the squares of one value, pixels.

    Returns:
      f32[b, height, width], uniform in 0..1.
    """
    y = (ops.arange(height, dtype="int32") // cell)[:, None]
    x = ops.arange(width, dtype="int32") // cell
    # Wang's multiply and shift; products wrap round at 32 bits.
    mixed = ops.cast(seed * 65536.0, "int32")[:, None, None] * 40503 + y * 668265263 + x * 374761393
    for shift, factor in ((13, 1274126177), (15, 1103515245)):
        mixed = ops.bitwise_xor(mixed, ops.right_shift(mixed, shift)) * factor
    return ops.cast(ops.bitwise_and(ops.right_shift(mixed, 12), 0xFFFF), "float32") / 65536.0
