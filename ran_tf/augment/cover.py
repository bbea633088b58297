"""Drawn occluders on training faces, and how much of every region they cover.

A pure function of faces, of a bank (`ran_tf.augment.bank`) and of named draws, in Keras ops. A
drawing sits where such things sit on a face (by its landmarks, where they are known), moves as the
face was moved, and wanders a little.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from ran_tf import vocabulary
from ran_tf.augment.draws import signed

# Where drawings have `vocabulary.LANDMARKS`, x and y: eyes and mouth are medians of FERPlus.
USUAL_LANDMARKS = np.array(
    [(0.32, 0.38), (0.69, 0.38), (0.505, 0.58), (0.36, 0.775), (0.65, 0.775)], np.float32
)
# How far a drawing reaches beyond the face on all sides, fraction of the face's side.
MARGIN = 0.25
# Largest relative change of a drawing's size, and of its brightness.
_RESIZE, _GAIN = 0.15, 0.3
# Mean squared distance of landmarks from their middle, below which they are in one place.
_SPREAD = 1e-3
# Colours differ by less than this in a face that is grey, of 255.
_GREY = 3.0
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# The colour of skin in drawings that take a face's own: `drawings.SKIN`.
_SKIN = 128.0


def cover(
    image,
    draw: Callable,
    *,
    bank: dict,
    chance: float,
    matrix=None,
    shift=None,
    landmarks=None,
) -> dict:
    """Lays a drawing of the bank over some faces.

    Args:
      image: f32[b, H, W, C] in 0..255, C 1 or 3. Grey faces get grey occluders.
      draw: gives f32[b] in 0..1 for a name: chance, which, mirror, shift_x, shift_y, size, angle,
        gain.
      bank: of `Bank.arrays`.
      chance: probability that a face is covered.
      matrix, shift: f32[b, 2, 2] and f32[b, 2], how the face was moved: from a place on it, x and y
        about its centre in pixels, to that on its source, which is `matrix place + shift sides`;
        None: not at all.
      landmarks: f32[b, 5, 2] of the source, x and y in 0..1, NaN where unknown: drawings are moved,
        turned and resized to fit them. Of a face with fewer than two, or None: the usual places.

    Returns:
      dict: image f32[b, H, W, C], opacity f32[b, H, W] in 0..1 of what covers the face.
    """
    count, side = bank["pixels"].shape[:2]
    which = ops.minimum(ops.cast(draw("which") * count, "int32"), count - 1)
    facts = ops.take(ops.convert_to_tensor(bank["facts"]), which, axis=0)
    x, y = _source_places(image.shape[1:3], matrix=matrix, shift=shift)
    if landmarks is not None:
        x, y = _usual_places(x, y, landmarks)
    x, y = _sheet_places(x, y, draw, facts=facts, side=side)
    painted = _sample(bank["pixels"], which, x, y, side=side)
    there = ops.cast(draw("chance") < chance, "float32")[:, None, None, None]
    opacity = painted[..., 3:] / 255.0 * there
    colour = _in_colours_of(image, painted, skin=facts[:, 5])
    gain = (1.0 + signed(draw("gain")) * _GAIN)[:, None, None, None]
    colour = ops.minimum(colour * gain * there, 255.0 * opacity)
    return {"image": image * (1.0 - opacity) + colour, "opacity": opacity[..., 0]}


def _source_places(sides, *, matrix, shift):
    """Where each pixel of the face lies on its source, in fractions of it: x, y f32[b, H, W]."""
    height, width = sides
    y = (ops.arange(height, dtype="float32") - (height - 1) / 2.0)[None, :, None]
    x = (ops.arange(width, dtype="float32") - (width - 1) / 2.0)[None, None, :]
    if matrix is not None:
        m = [[matrix[:, i, j, None, None] for j in range(2)] for i in range(2)]
        x, y = m[0][0] * x + m[0][1] * y, m[1][0] * x + m[1][1] * y
        x, y = x + shift[:, 0, None, None] * width, y + shift[:, 1, None, None] * height
    return x / width + 0.5, y / height + 0.5


def _usual_places(x, y, landmarks):
    """The same places on a face with the usual landmarks: of all similarities the best, by squares.

    With places as complex numbers and means taken off, that is `usual = s place`, where
    `s = sum(usual conj(own)) / sum |own|^2` over the known landmarks.
    """
    known = ops.all(ops.isfinite(landmarks), axis=-1)
    count = ops.sum(ops.cast(known, "float32"), axis=1)
    share = ops.cast(known, "float32") / ops.maximum(count, 1.0)[:, None]
    own = ops.where(known[..., None], landmarks, 0.0)
    usual = ops.zeros_like(own) + USUAL_LANDMARKS
    own_mean, usual_mean = (ops.einsum("bl,blc->bc", share, points) for points in (own, usual))
    from_mean = (own - own_mean[:, None]) * share[..., None]
    usual = usual - usual_mean[:, None]
    spread = ops.sum(from_mean * (own - own_mean[:, None]), axis=(1, 2))
    real = ops.sum(from_mean * usual, axis=(1, 2))
    imaginary = ops.sum(
        from_mean[..., 0] * usual[..., 1] - from_mean[..., 1] * usual[..., 0], axis=1
    )
    enough = ((count > 1.0) & (spread > _SPREAD))[:, None, None]
    real, imaginary = (
        (part / ops.maximum(spread, _SPREAD))[:, None, None] for part in (real, imaginary)
    )
    from_x, from_y = x - own_mean[:, 0, None, None], y - own_mean[:, 1, None, None]
    fitted_x = real * from_x - imaginary * from_y + usual_mean[:, 0, None, None]
    fitted_y = imaginary * from_x + real * from_y + usual_mean[:, 1, None, None]
    return ops.where(enough, fitted_x, x), ops.where(enough, fitted_y, y)


def _sheet_places(x, y, draw: Callable, *, facts, side: int):
    """Where places on a face lie on its drawing's sheet, in pixels: x, y f32[b, H, W]."""
    centre_x, centre_y, wander_x, wander_y, turn = (facts[:, i, None, None] for i in range(5))

    def drawn(name):
        return signed(draw(name))[:, None, None]

    # From the point that the drawing turns about, in fractions of the face.
    x = x - centre_x - drawn("shift_x") * wander_x
    y = y - centre_y - drawn("shift_y") * wander_y
    angle, size = drawn("angle") * turn, 1.0 + drawn("size") * _RESIZE
    cos, sin = ops.cos(angle) / size, ops.sin(angle) / size
    x, y = cos * x + sin * y + centre_x, cos * y - sin * x + centre_y
    x = ops.where(draw("mirror")[:, None, None] < 0.5, 1.0 - x, x)
    scale = side / (1.0 + 2.0 * MARGIN)
    return (x + MARGIN) * scale - 0.5, (y + MARGIN) * scale - 0.5


def _sample(pixels, which, x, y, *, side: int):
    """Bilinear samples of drawings, f32[b, H, W, 4]; nothing is beyond their edges."""
    flat = ops.reshape(pixels, (-1, pixels.shape[-1]))
    first = which[:, None, None] * (side * side)
    left, top = ops.floor(x), ops.floor(y)
    to_right, to_bottom = x - left, y - top
    total = 0.0
    for row, by_row in ((top, 1.0 - to_bottom), (top + 1.0, to_bottom)):
        for column, by_column in ((left, 1.0 - to_right), (left + 1.0, to_right)):
            inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
            place = ops.clip(row, 0, side - 1) * side + ops.clip(column, 0, side - 1)
            found = ops.take(flat, first + ops.cast(place, "int32"), axis=0)
            weight = by_row * by_column * ops.cast(inside, "float32")
            total = total + weight[..., None] * ops.cast(found, "float32")
    return total


def _in_colours_of(image, painted, *, skin):
    """Colour times opacity, f32[b, H, W, C], as it is on these faces."""
    colour = painted[..., :3]
    grey = ops.sum(colour * _LUMINANCE, axis=-1, keepdims=True)
    if image.shape[-1] == 1:
        colour = grey
    else:
        spread = ops.max(image, axis=-1) - ops.min(image, axis=-1)
        is_grey = ops.max(spread, axis=(1, 2)) < _GREY
        colour = ops.where(is_grey[:, None, None, None], grey, colour)
    _, height, width, _ = image.shape
    rows, columns = (slice(side // 4, side - side // 4) for side in (height, width))
    own = ops.mean(image[:, rows, columns], axis=(1, 2), keepdims=True)
    return ops.where(skin[:, None, None, None] > 0.5, grey * own / _SKIN, colour)


def covered_shares(opacity, boxes):
    """How much of every region is covered: the mean opacity over its area inside of the face.

    Args:
      opacity: f32[b, H, W] in 0..1, that of a pixel over all of its area.
      boxes: f32[b, k, 4], `y0, x0, y1, x1` as fractions of the face.

    Returns:
      f32[b, k] in 0..1; 0 of a region that has no area there.
    """
    _, height, width = opacity.shape
    rows = _overlap(boxes[..., 0], boxes[..., 2], count=height)
    columns = _overlap(boxes[..., 1], boxes[..., 3], count=width)
    inside = ops.einsum("bkh,bhw->bkw", rows, opacity)
    total = ops.sum(rows, axis=-1) * ops.sum(columns, axis=-1)
    return ops.sum(inside * columns, axis=-1) / ops.maximum(total, 1e-9)


def _overlap(low, high, *, count: int):
    """How much of each of `count` pixels lies between two fractions: f32[b, k, count] in 0..1."""
    first = ops.arange(count, dtype="float32")
    low, high = low[..., None] * count, high[..., None] * count
    return ops.maximum(ops.minimum(high, first + 1.0) - ops.maximum(low, first), 0.0)


def listed_opacity(occlusion, *, height: int, width: int):
    """What covers faces by the lists of a dataset: `vocabulary.OCCLUDED_AREAS`.

    Args:
      occlusion: i64[b] or i32[b], places in `vocabulary.OCCLUSION_KINDS`.
      height, width: of a face, pixels.

    Returns:
      f32[b, height, width] in 0..1; 0 where a list says nothing of the place.
    """
    kinds = vocabulary.OCCLUSION_KINDS
    areas = np.array([vocabulary.OCCLUDED_AREAS.get(k, (0.0,) * 4) for k in kinds], np.float32)
    y0, x0, y1, x1 = (ops.convert_to_tensor(areas[:, i]) for i in range(4))
    rows, columns = _overlap(y0, y1, count=height), _overlap(x0, x1, count=width)
    return ops.take(rows[:, :, None] * columns[:, None, :], ops.cast(occlusion, "int32"), axis=0)


def both(first, second):
    """The opacity of two things over each other."""
    return 1.0 - (1.0 - first) * (1.0 - second)
