"""Faces resized, the same wherever they are: in training, in exports, in the Predictor, in `align`.

The one definition: a triangle filter with half-pixel centres, as wide as an output pixel where
that is larger than an input pixel (antialiasing) and else as an input pixel, so that enlarging is
plain bilinear. The filter is cut off at the image's edge and its weights then sum to 1 again;
values stay in 0..255 and are rounded to whole numbers. TensorFlow calls this "bilinear" with
`antialias=True`, as Keras does; to Pillow it is `BILINEAR`. Plain bilinear, of four pixels, would
skip most pixels of a large face and keep all of its noise.

Three implementations, which differ where a value lies all but half-way between two grey levels:
TensorFlow's kernels, for the input of training and SavedModels; Pillow's in floating point (in
whole numbers it rounds between its two passes, too); and products with the filter's matrices, for
files that other runtimes read.
"""

import numpy as np
from PIL import Image


def resize_array(image: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """Resizes one image.

    Args:
      image: u8[H, W, C].
      size: (height, width) in pixels.

    Returns:
      u8[height, width, C].
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image

    def resize(plane: np.ndarray) -> np.ndarray:
        numbers = Image.fromarray(plane.astype(np.float32))
        return np.asarray(numbers.resize((width, height), Image.Resampling.BILINEAR))

    # One channel at a time: a photo's numbers take four times its memory.
    planes = [resize(image[..., channel]) for channel in range(image.shape[-1])]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def resize_tensor(images, *, size: tuple[int, int]):
    """`resize_array` by TensorFlow's kernels, eager or in a graph, where sides may be unknown.

    Args:
      images: u8[H, W, C] or u8[b, H, W, C].
      size: (height, width) in pixels.

    Returns:
      u8[height, width, C] or u8[b, height, width, C].
    """
    import tensorflow as tf

    def shrink():
        return tf.image.resize(images, size, method="bilinear", antialias=True)

    def enlarge():
        # The same, three times as fast; and training on enlarged faces goes on as it was.
        return tf.image.resize(images, size, method="bilinear")

    sides = images.shape[-3:-1]
    if None not in sides:
        # Known before any face is read, for datasets of one size.
        if tuple(sides) == tuple(size):
            return images
        resized = shrink() if any(np.greater(sides, size)) else enlarge()
    else:
        resized = tf.cond(tf.reduce_any(tf.shape(images)[-3:-1] > size), shrink, enlarge)
    return tf.cast(tf.round(resized), tf.uint8)


def resize_portable(planes, *, size: tuple[int, int]):
    """`resize_array` in TensorFlow's operators that ONNX and LiteRT have, too.

    Args:
      planes: f32[b, C, H, W], whole numbers; sides may be unknown.
      size: (height, width) in pixels.

    Returns:
      f32[b, C, height, width], whole numbers.
    """
    import tensorflow as tf

    def weights(source, target: int):
        scale = tf.cast(source, tf.float32) / target
        centres = (tf.range(target, dtype=tf.float32) + 0.5) * scale
        places = tf.cast(tf.range(source), tf.float32) + 0.5
        distances = tf.abs(places - centres[:, tf.newaxis]) / tf.maximum(scale, 1.0)
        triangle = tf.nn.relu(1.0 - distances)
        return triangle / tf.reduce_sum(triangle, axis=1, keepdims=True)

    sides = tf.shape(planes)
    rows = tf.matmul(weights(sides[2], size[0]), planes)
    resized = tf.round(tf.matmul(rows, weights(sides[3], size[1]), transpose_b=True))
    return tf.ensure_shape(resized, [planes.shape[0], planes.shape[1], *size])
