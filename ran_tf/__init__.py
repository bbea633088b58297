"""Region Attention Networks for pose- and occlusion-robust facial expression recognition."""

import importlib
import sys

__version__ = "0.1.0"

# Loaded on first use: models and regions must import where TensorFlow is absent, and a command
# with a mistyped flag should not wait for TensorFlow to load.
_HOMES = {
    "AugmentConfig": "ran_tf.config",
    "DataConfig": "ran_tf.config",
    "ModelConfig": "ran_tf.config",
    "ObjectiveConfig": "ran_tf.config",
    "OptimizerConfig": "ran_tf.config",
    "RegionConfig": "ran_tf.config",
    "TrainConfig": "ran_tf.config",
    "Failure": "ran_tf.inference.prediction",
    "FoundFace": "ran_tf.inference.prediction",
    "Hooks": "ran_tf.training.run",
    "LABELS": "ran_tf.vocabulary",
    "Prediction": "ran_tf.inference.prediction",
    "Predictor": "ran_tf.inference.predictor",
    "RegionAttentionNetwork": "ran_tf.models.ran",
    "RegionBiasedLoss": "ran_tf.models.losses",
    "RegionCrop": "ran_tf.regions.crop",
    "RelationAttention": "ran_tf.models.attention",
    "SelfAttention": "ran_tf.models.attention",
    "Report": "ran_tf.evaluation.results",
    "annotate_face": "ran_tf.inference.annotate",
    "crop_regions": "ran_tf.regions.crop",
    "evaluate": "ran_tf.evaluation.evaluate",
    "export": "ran_tf.exports.export",
    "from_preset": "ran_tf.weights.presets",
    "presets": "ran_tf.weights.presets",
    "save_to_preset": "ran_tf.evaluation.make_preset",
    "fixed_boxes": "ran_tf.regions.boxes",
    "landmark_boxes": "ran_tf.regions.boxes",
    "prepare": "ran_tf.data.prepare",
    "random_boxes": "ran_tf.regions.boxes",
    "load_dataset": "ran_tf.data.load",
    "register_attention": "ran_tf.registry",
    "register_augmentation": "ran_tf.registry",
    "register_backbone": "ran_tf.registry",
    "register_detector": "ran_tf.registry",
    "register_loss": "ran_tf.registry",
    "register_optimizer": "ran_tf.registry",
    "register_regions": "ran_tf.regions.kinds",
    "region_biased_loss": "ran_tf.models.losses",
    "train": "ran_tf.training.loop",
    "upload_preset": "ran_tf.weights.presets",
}

__all__ = list(_HOMES)


def _register(_):
    """Makes our classes known to Keras, so that `keras.models.load_model` finds them."""
    for name in ("ran_tf.models.ran", "ran_tf.models.losses"):
        importlib.import_module(name)


# When Keras is there, or as soon as it is: importing it here would load a backend, for seconds.
try:
    import wrapt
except ImportError:  # it comes with TensorFlow: elsewhere import Keras first to load a .keras file
    if "keras" in sys.modules:
        _register(None)
else:
    wrapt.register_post_import_hook(_register, "keras")


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'ran_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
