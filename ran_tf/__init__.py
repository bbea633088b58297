"""Region Attention Networks for pose- and occlusion-robust facial expression recognition."""

import importlib
import os
import sys

import lazy_loader

__version__ = "0.1.0"

# ONNX Runtime sends telemetry to its makers, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Loaded on first use: models and regions must import where TensorFlow is absent, and a command
# with a mistyped flag should not wait for TensorFlow to load. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _register(_):
    """Makes our classes known to Keras, so that `keras.models.load_model` finds them."""
    for name in ("models.ran", "models.losses", "training.optimizers"):
        importlib.import_module(f"ran_tf.{name}")


# When Keras is there, or as soon as it is: importing it here would load a backend, for seconds.
try:
    import wrapt
except ImportError:  # it comes with TensorFlow: elsewhere import Keras first to load a .keras file
    if "keras" in sys.modules:
        _register(None)
else:
    wrapt.register_post_import_hook(_register, "keras")
