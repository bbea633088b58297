"""Region Attention Networks for pose- and occlusion-robust facial expression recognition."""

from ran_tf.losses import RegionBiasedLoss, region_biased_loss
from ran_tf.models.attention import RelationAttention, SelfAttention
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.regions.boxes import fixed_boxes, landmark_boxes, random_boxes
from ran_tf.regions.crop import RegionCrop, crop_regions
from ran_tf.specs import LABELS

__version__ = "0.1.0"

__all__ = [
    "LABELS",
    "Prediction",
    "Predictor",
    "RegionAttentionNetwork",
    "RegionBiasedLoss",
    "RegionCrop",
    "RelationAttention",
    "SelfAttention",
    "crop_regions",
    "fixed_boxes",
    "landmark_boxes",
    "random_boxes",
    "region_biased_loss",
]

_NEEDS_TENSORFLOW = ("Prediction", "Predictor")


def __getattr__(name: str):
    # On first use: the models must import where TensorFlow is absent.
    if name in _NEEDS_TENSORFLOW:
        from ran_tf import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'ran_tf' has no attribute {name!r}")
