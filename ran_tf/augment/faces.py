"""Augmentation of a batch on the accelerator, a pure function of faces and named draws.

In Keras ops, so that it runs on any backend. Geometry first (one resampling), then light, then
occluders, then blur, noise and flaws over all, then what users registered. Fixed and random regions
are taken from the augmented face; landmark regions move with it.
"""

import math
from collections.abc import Callable

from keras import ops

from ran_tf import registry
from ran_tf.augment import cover, flaws, occlude
from ran_tf.augment.draws import signed
from ran_tf.config import AugmentConfig

# Occluders that a face may get, each with the probability `erase`.
_OCCLUDERS = 2


def augment(
    image,
    boxes,
    draw: Callable,
    *,
    config: AugmentConfig,
    follows=None,
    landmarks=None,
    bank: dict | None = None,
):
    """Flips, turns, scales, shifts, relights, covers and degrades faces.

    Args:
      image: u8 or f32 [b, H, W, C] in 0..255.
      boxes: f32[b, k, 4].
      draw: gives f32[b], uniform in 0..1, for a name, see `draws.make_draw`.
      config: how strongly.
      follows: bool[b, k], regions that move with the face (those round landmarks); None: none.
      landmarks: f32[b, 5, 2], x and y in 0..1, NaN where unknown, for `config.cover`; None: usual.
      bank: of `bank.of_objective`, for `config.cover`.

    Returns:
      dict: image f32[b, H, W, C] in 0..255, boxes f32[b, k, 4], opacity f32[b, H, W] in 0..1 of
      what covers each pixel.

    Raises:
      ValueError: for an augmentation that is not registered.
    """
    image = ops.cast(image, "float32")
    height, width, _ = image.shape[1:]
    matrix, shift = _face_to_source(draw, config=config)
    image = _resample(image, matrix, shift)
    image = _relight(image, draw, strength=config.light)
    opacity = ops.zeros_like(image[..., 0])
    if config.erase:
        for i in range(_OCCLUDERS):
            done = occlude.occlude(
                image, _under(draw, f"occluder{i}"), chance=config.erase, largest=config.erase_max
            )
            image, opacity = done["image"], cover.both(opacity, done["opacity"])
    if config.cover:
        assert bank is not None  # `objective.prepare` has said so
        done = cover.cover(
            image,
            _under(draw, "cover"),
            bank=bank,
            chance=config.cover,
            matrix=matrix,
            shift=shift,
            landmarks=landmarks,
        )
        image, opacity = done["image"], cover.both(opacity, done["opacity"])
    if config.degrade:
        image = occlude.degrade(image, _under(draw, "degrade"), chance=config.degrade)
    if config.spoil:
        image = flaws.spoil(image, _under(draw, "spoil"), chance=config.spoil)
    registered = registry.AUGMENTATIONS.with_numbers(config.augmentations, argument="augmentations")
    for name, amount in registered.items():
        image = registry.AUGMENTATIONS.find(name)(image, _under(draw, name), amount)
    if follows is not None:
        moved = _move_boxes(boxes, matrix, shift, aspect=width / height)
        boxes = ops.where(follows[..., None], moved, boxes)
    return {"image": image, "boxes": boxes, "opacity": opacity}


def _under(draw: Callable, use: str) -> Callable:
    """The draws of one use of them."""
    return lambda name, *count: draw(f"{use}/{name}", *count)


def _face_to_source(draw: Callable, *, config: AugmentConfig):
    """The affine map from a new face to its source, about the centre, in units of pixels or sides.

    Returns:
      matrix f32[b, 2, 2] acting on (x, y), shift f32[b, 2] as fractions of the sides.
    """
    angle = signed(draw("angle")) * math.radians(config.rotate)
    zoom = 1.0 / (1.0 + signed(draw("scale")) * config.scale)
    mirror = ops.where(draw("flip") < 0.5, -1.0, 1.0) if config.flip else ops.ones_like(angle)
    cos, sin = zoom * ops.cos(angle), zoom * ops.sin(angle)
    matrix = ops.stack(
        [ops.stack([mirror * cos, mirror * sin], axis=-1), ops.stack([-sin, cos], axis=-1)], axis=1
    )
    shift = ops.stack([signed(draw("shift_x")), signed(draw("shift_y"))], axis=-1) * config.shift
    return matrix, shift


def _resample(image, matrix, shift):
    height, width, _ = image.shape[1:]
    centre = ops.convert_to_tensor([(width - 1) / 2.0, (height - 1) / 2.0], dtype="float32")
    side = ops.convert_to_tensor([width, height], dtype="float32")
    # source = matrix (new - centre) + centre + shift
    offset = centre - ops.einsum("bij,j->bi", matrix, centre) + shift * side
    zeros = ops.zeros_like(shift)
    transform = ops.concatenate(
        [matrix[:, 0], offset[:, :1], matrix[:, 1], offset[:, 1:], zeros], axis=-1
    )
    return ops.image.affine_transform(
        image,
        transform,
        interpolation="bilinear",
        fill_mode="nearest",
        data_format="channels_last",
    )


def _move_boxes(boxes, matrix, shift, *, aspect: float):
    """Boxes round the moved centres, of the same size, clipped to the face."""
    centre_x = (boxes[..., 1] + boxes[..., 3]) / 2.0
    centre_y = (boxes[..., 0] + boxes[..., 2]) / 2.0
    half_h = (boxes[..., 2] - boxes[..., 0]) / 2.0
    half_w = (boxes[..., 3] - boxes[..., 1]) / 2.0
    # new = matrix^-1 (source - centre - shift) + centre, with x in units of the height.
    x = (centre_x - 0.5 - shift[:, None, 0]) * aspect
    y = centre_y - 0.5 - shift[:, None, 1]
    (a, b), (c, d) = (
        (matrix[:, None, 0, 0], matrix[:, None, 0, 1]),
        (matrix[:, None, 1, 0], matrix[:, None, 1, 1]),
    )
    determinant = a * d - b * c
    new_x = (d * x - b * y) / determinant / aspect + 0.5
    new_y = (a * y - c * x) / determinant + 0.5
    # A point that left the face keeps a region at its edge.
    new_x, new_y = ops.clip(new_x, 0.0, 1.0), ops.clip(new_y, 0.0, 1.0)
    moved = ops.stack([new_y - half_h, new_x - half_w, new_y + half_h, new_x + half_w], axis=-1)
    return ops.clip(moved, 0.0, 1.0)


def _relight(image, draw, *, strength: float):
    contrast = (1.0 + signed(draw("contrast")) * strength)[:, None, None, None]
    brightness = (signed(draw("brightness")) * strength * 255.0)[:, None, None, None]
    mean = ops.mean(image, axis=(1, 2, 3), keepdims=True)
    return ops.clip((image - mean) * contrast + mean + brightness, 0.0, 255.0)
