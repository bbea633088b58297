"""What a backbone does to pixels before its first convolution."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("ran_tf")
class Standardize(keras.layers.Layer):
    """`(x - mean) / std` for each channel, float [b, h, w, c] in 0..255 -> f32[b, h, w, c].

    In float32 under every policy: bfloat16 would round pixels before the mean is taken off. Not
    `keras.layers.Rescaling`, which imports TensorFlow on every backend.

    Args:
      mean, std: one number for each channel.
    """

    def __init__(self, *, mean, std, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mean, self.std = tuple(mean), tuple(std)

    def call(self, image):
        # Repeated over a row: TensorFlow takes five times as long for a vector of three.
        _, _, width, channels = image.shape
        mean, std = (
            ops.convert_to_tensor(
                np.broadcast_to(np.asarray(values, np.float32), (width, channels))
            )
            for values in (self.mean, self.std)
        )
        return (ops.cast(image, "float32") - mean) / std

    def compute_output_shape(self, image_shape):
        return image_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}
