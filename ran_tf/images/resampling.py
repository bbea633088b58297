"""Faces resized, the same wherever they are: in training, in exports, in the Predictor, in `align`.

The one definition: a triangle filter with half-pixel centres, as wide as an output pixel where
that is larger than an input pixel (antialiasing) and else as an input pixel, so that enlarging is
plain bilinear. The filter is cut off at the image's edge and its weights then sum to 1 again;
values stay in 0..255 and are rounded to whole numbers. TensorFlow calls this "bilinear" with
`antialias=True`, as Keras does; to Pillow it is `BILINEAR`. Plain bilinear, of four pixels, would
skip most pixels of a large face and keep all of its noise.

Two implementations agree within a grey level: one for where TensorFlow is, one for elsewhere.
"""

import numpy as np
from PIL import Image


def resize_array(image: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """Resizes one image.

    Args:
      image: u8[H, W, 3].
      size: (height, width) in pixels.

    Returns:
      u8[height, width, 3].
    """
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_tensor(images, *, size: tuple[int, int]):
    """`resize_array` in TensorFlow, eager or in a graph, where sides may be unknown.

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
