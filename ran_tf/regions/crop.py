"""Cutting regions out of faces on the accelerator.

Bilinear with half-pixel centres, edge-clamped, values kept in 0..255: a face was made small before,
see `resampling`. Output pixel i of a box `y0..y1` on an image of H rows samples the row
`y0 H + (i + 1/2) (y1 - y0) H / h - 1/2`, clamped to `0..H-1`.

Three implementations that agree: `crop_with_gather` (any Keras backend, has gradients to the boxes,
and under XLA is the faster one), TensorFlow's `crop_and_resize` kernel, which is faster without,
and `crop_with_matrices`, for files that other runtimes read.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from ran_tf import checks
from ran_tf.backend import Tensor


def _sample_positions(low, high, *, source: int, target: int):
    """Fractional source pixels that each target pixel samples: f32[b, k, target]."""
    centres = (ops.arange(target, dtype="float32") + 0.5) / target
    positions = low[..., None] + (high - low)[..., None] * centres
    return ops.clip(positions * source - 0.5, 0.0, source - 1.0)


def _neighbours(positions, *, source: int) -> dict:
    """The pixels on both sides of each position, and how far it is from the first.

    Returns:
      dict: low and high i32, share f32 in 0..1, all of the shape of `positions`.
    """
    # Clipped as integers: what a position that is no number becomes is not defined.
    low = ops.clip(ops.cast(ops.floor(positions), "int32"), 0, source - 1)
    return {
        "low": low,
        "high": ops.minimum(low + 1, source - 1),
        "share": positions - ops.cast(low, "float32"),
    }


def crop_with_gather(image, boxes, *, size: tuple[int, int]):
    """`crop_regions` from each output pixel's four neighbours, for every backend and for XLA."""
    height, width, channels = image.shape[1:]
    y0, x0, y1, x1 = (boxes[..., side] for side in range(4))
    # [b, k, h, 1] and [b, k, 1, w]
    y = _neighbours(_sample_positions(y0, y1, source=height, target=size[0]), source=height)
    x = _neighbours(_sample_positions(x0, x1, source=width, target=size[1]), source=width)
    y = {name: value[..., :, None] for name, value in y.items()}
    x = {name: value[..., None, :] for name, value in x.items()}
    pixels = ops.reshape(ops.cast(image, "float32"), (-1, channels))
    first = ops.arange(ops.shape(image)[0], dtype="int32")[:, None, None, None] * (height * width)

    def between_columns(row):
        left, right = (
            ops.take(pixels, first + row * width + x[side], axis=0) for side in ("low", "high")
        )
        return left + x["share"][..., None] * (right - left)

    top, bottom = between_columns(y["low"]), between_columns(y["high"])
    return top + y["share"][..., None] * (bottom - top)


def crop_with_matrices(planes, boxes: np.ndarray, *, size: tuple[int, int]):
    """`crop_regions` for regions that are the same for every face, known before any is seen.

    A bilinear crop is a product with two matrices, of numbers that every runtime can multiply.

    Args:
      planes: f32[b, C, H, W], H and W static.
      boxes: f32[k, 4].
      size: (height, width) of a crop in pixels.

    Returns:
      f32[b, k, h, w, C].
    """
    y0, x0, y1, x1 = np.asarray(boxes, np.float64).T
    k, (height, width) = len(boxes), size
    _, channels, rows, columns = planes.shape
    across = _sampling(x0, x1, source=columns, target=width)
    down = _sampling(y0, y1, source=rows, target=height)
    # Few large products: the columns of all regions in one, then the rows of each region.
    narrow = ops.matmul(
        planes, ops.convert_to_tensor(across.transpose(2, 0, 1).reshape(columns, -1))
    )
    narrow = ops.reshape(narrow, (-1, channels, rows, k, width))
    narrow = ops.reshape(ops.transpose(narrow, (0, 3, 2, 1, 4)), (-1, k, rows, channels * width))
    cut = ops.reshape(
        ops.matmul(ops.convert_to_tensor(down), narrow), (-1, k, height, channels, width)
    )
    return ops.transpose(cut, (0, 1, 2, 4, 3))


def _sampling(low: np.ndarray, high: np.ndarray, *, source: int, target: int) -> np.ndarray:
    """What each output pixel is a mean of, of one axis: f32[k, target, source]."""
    centres = (np.arange(target) + 0.5) / target
    places = (low[:, None] + (high - low)[:, None] * centres) * source - 0.5
    places = np.clip(places, 0.0, source - 1.0)[..., None]
    return np.maximum(1.0 - np.abs(np.arange(source) - places), 0.0).astype(np.float32)


def _crop_with_kernel(image, boxes, *, size: tuple[int, int]):
    """`crop_regions` with TensorFlow's kernel, for boxes inside the image.

    The kernel samples corner to corner and fills outside the image: boxes are shifted to half-pixel
    centres, and one replicated pixel round the image serves the half pixel that then leaves it.
    """
    import tensorflow as tf

    height, width, _ = image.shape[1:]
    batch, k = tf.shape(boxes)[0], tf.shape(boxes)[1]
    padded = tf.pad(tf.cast(image, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")

    def corners(low, high, source, target):
        step = (high - low) * source / target
        # +1 for the padding; the kernel's coordinates are fractions of (padded side - 1).
        first, last = low * source + step / 2 + 0.5, high * source - step / 2 + 0.5
        return first / (source + 1.0), last / (source + 1.0)

    y0, x0, y1, x1 = (boxes[..., side] for side in range(4))
    y_first, y_last = corners(y0, y1, height, size[0])
    x_first, x_last = corners(x0, x1, width, size[1])
    crops = tf.image.crop_and_resize(
        padded,
        tf.reshape(tf.stack([y_first, x_first, y_last, x_last], axis=-1), [-1, 4]),
        box_indices=tf.repeat(tf.range(batch), k),
        crop_size=size,
    )
    return tf.reshape(crops, [batch, k, *size, image.shape[-1]])


def _crop_in_tensorflow(image, boxes, *, size: tuple[int, int]):
    import tensorflow as tf

    inside = tf.reduce_all((boxes >= 0.0) & (boxes <= 1.0))
    return tf.cond(
        inside,
        lambda: _crop_with_kernel(image, boxes, size=size),
        lambda: crop_with_gather(image, boxes, size=size),
    )


def crop_regions(
    image: Tensor, boxes: Tensor, *, size: tuple[int, int], portable: bool = False
) -> Tensor:
    """Cuts every region out of every face and resizes it.

    Args:
      image: u8 or f32 [b, H, W, C] in 0..255, H and W static.
      boxes: f32[b, k, 4] or [k, 4], `y0, x0, y1, x1` as fractions. Boxes may leave the image; its
        edge is then repeated.
      size: (height, width) of a crop in pixels.
      portable: use `crop_with_gather` on TensorFlow too (needed under XLA).

    Returns:
      f32[b, k, h, w, C] in 0..255.

    Raises:
      ValueError: for arguments of another shape.

    Example:
      >>> faces, boxes = np.zeros((2, 48, 48, 3), np.uint8), np.stack([ran_tf.fixed_boxes(6)] * 2)
      >>> tuple(ran_tf.crop_regions(faces, boxes, size=(32, 32)).shape)
      (2, 6, 32, 32, 3)
    """
    size = checks.check_size("size", size)
    try:
        image, boxes = ops.convert_to_tensor(image), ops.convert_to_tensor(boxes, dtype="float32")
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`image` and `boxes` must be arrays of numbers. "
            f"Received: {str(error).strip().splitlines()[0]}"
        ) from error
    if keras.backend.standardize_dtype(image.dtype) in ("string", "bool"):
        raise ValueError(f"`image` must be u8 or f32. Received: image.dtype={image.dtype}")
    if len(image.shape) != 4 or not image.shape[1] or not image.shape[2]:
        raise ValueError(
            "`image` must have shape [b, H, W, C] with known H and W, not 0. "
            f"Received: image.shape={tuple(image.shape)}"
        )
    if len(boxes.shape) not in (2, 3) or boxes.shape[-1] != 4:
        raise ValueError(
            "`boxes` must have shape [b, k, 4] or [k, 4]. "
            f"Received: boxes.shape={tuple(boxes.shape)}"
        )
    counts = {tensor.shape[0] for tensor in (image, boxes) if len(boxes.shape) == 3}
    if len(counts - {None}) > 1:
        raise ValueError(
            "`boxes` must have as many faces as `image`. Received: "
            f"image.shape={tuple(image.shape)}, boxes.shape={tuple(boxes.shape)}"
        )
    if len(boxes.shape) == 2:
        boxes = ops.broadcast_to(boxes[None], (ops.shape(image)[0], *boxes.shape))
    if keras.backend.backend() == "tensorflow" and not portable:
        return _crop_in_tensorflow(image, boxes, size=size)
    return crop_with_gather(image, boxes, size=size)


@keras.saving.register_keras_serializable("ran_tf")
class RegionCrop(keras.layers.Layer):
    """`crop_regions` as a layer: `(image, boxes) -> f32[b, k, h, w, C]`.

    Args:
      size: (height, width) of a crop in pixels.
      portable: use `crop_with_gather` instead of TensorFlow's kernel.

    Raises:
      ValueError: in a call, for arguments of another shape.

    Example:
      >>> crop = ran_tf.RegionCrop((32, 32))
      >>> tuple(crop(np.zeros((1, 48, 48, 3), np.float32), ran_tf.fixed_boxes(6)[None]).shape)
      (1, 6, 32, 32, 3)
    """

    def __init__(self, size: tuple[int, int], *, portable: bool = False, **kwargs: Any) -> None:
        # Pixels and boxes keep float32 whatever the policy: bfloat16 has 8 bits of mantissa.
        super().__init__(**{"dtype": "float32", **kwargs}, autocast=False)
        height, width = size
        self.size = (height, width)
        self.portable = portable
        # TensorFlow's kernel is not one that XLA compiles, as `compile` would on a GPU.
        self.supports_jit = portable or keras.backend.backend() != "tensorflow"

    def build(self, image_shape: Any, boxes_shape: Any = None) -> None:
        """Nothing to make; Keras keeps the shapes, for `summary`."""

    def call(self, image: Tensor, boxes: Tensor) -> Tensor:
        return crop_regions(image, boxes, size=self.size, portable=self.portable)

    def compute_output_shape(
        self, image_shape: tuple[int | None, ...], boxes_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (image_shape[0], boxes_shape[-2], *self.size, image_shape[-1])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "size": self.size, "portable": self.portable}
