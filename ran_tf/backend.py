"""What others set in this process, or for the machine, and how networks stay as they are."""

import contextlib
import os
from typing import Any

import keras

# A tensor of whatever Keras runs on, or an array that becomes one: Keras has no type for it.
Tensor = Any


@contextlib.contextmanager
def layer_defaults(dtype=None):
    """Layers made inside take `dtype` as their policy, and maps as [b, h, w, c].

    Both are otherwise what the process, or keras.json, says; `keras.applications` and backbones of
    users take no such arguments.
    """
    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy(dtype or policy)
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)


def require_tensorflow() -> None:
    """Raises RuntimeError unless Keras runs on TensorFlow, eagerly.

    Networks, losses and augmentation run on every backend; the training loop, exports and
    `Predictor` do not.
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise RuntimeError(
            "Keras must run on TensorFlow here: set KERAS_BACKEND=tensorflow before Keras is "
            f"imported. Received: backend {name!r}, from {_origin()}"
        )
    import tensorflow as tf  # Where there is another backend, it may be absent.

    if not tf.executing_eagerly():
        raise RuntimeError(
            "TensorFlow's eager mode must be on: leave out "
            "tf.compat.v1.disable_eager_execution() and disable_v2_behavior(), and call this "
            "outside of graphs and functions. Received: tf.executing_eagerly() is False"
        )


def _origin() -> str:
    if os.environ.get("KERAS_BACKEND"):
        return "the environment variable KERAS_BACKEND"
    home = os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))
    return os.path.join(home, "keras.json")
