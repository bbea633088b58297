"""Self-attention and relation-attention over the regions of a face (RAN, section III-B).

Both in float32 whatever the policy: they are small, and their weighted means divide by sums that
may be small. Masked regions have weight exactly 0. Two modes:

- "sigmoid", the paper: weights in 0..1, independent of each other;
- "softmax", the authors' released code: a softmax over the unmasked regions after each sigmoid.
"""

import keras
from keras import layers, ops

from ran_tf import config, specs


def weighted_mean(weights, features):
    """`sum_i w_i f_i / sum_i w_i`: f32[b, k] and f32[b, k, d] -> f32[b, d]."""
    total = ops.sum(weights, axis=1, keepdims=True)
    # Not an einsum: for one face its matrix product is slower than this, by threads that wake up.
    return ops.sum((weights / total)[..., None] * features, axis=1)


def _softmax(weights):
    """Over regions. Keras warns of a softmax over a single value, which the baseline has."""
    return ops.ones_like(weights) if weights.shape[-1] == 1 else ops.softmax(weights, axis=-1)


class _RegionWeights(layers.Layer):
    """One weight for each region: `f32[b, k, d] -> f32[b, k]`."""

    def __init__(self, attention: str = "sigmoid", **kwargs):
        config.check_choice("attention", attention, specs.ATTENTIONS)
        super().__init__(**{"dtype": "float32", **kwargs})
        self.attention = attention
        self.query = layers.Dense(1, dtype="float32", name="query")

    def build(self, features_shape):
        self.query.build(features_shape)

    def call(self, features, region_mask=None):
        """`sigmoid(f . q + c)`, then the mode's normalisation over unmasked regions."""
        features = ops.cast(features, "float32")
        # Flat, as a product over three axes is a dozen small operators on TensorFlow.
        _, k, d = ops.shape(features)
        flat = self.query(ops.reshape(features, (-1, d)))
        weights = ops.reshape(ops.sigmoid(flat), (-1, k))
        if region_mask is None:
            return _softmax(weights) if self.attention == "softmax" else weights
        region_mask = ops.cast(region_mask, "bool")
        if self.attention == "softmax":
            weights = _softmax(ops.where(region_mask, weights, -1e9))
        return ops.where(region_mask, weights, 0.0)

    def compute_output_shape(self, features_shape, **_):
        return features_shape[:2]

    def get_config(self):
        return {**super().get_config(), "attention": self.attention}


@keras.saving.register_keras_serializable("ran_tf")
class SelfAttention(_RegionWeights):
    """The weight of each region from its own features: `mu_i = sigmoid(F_i . q0 + c0)`.

    Args:
      attention: "sigmoid" (paper) or "softmax" (released code).

    Call:
      features: float [b, k, d].
      region_mask: bool[b, k] or None; False regions get weight 0.

    Returns:
      mu, f32[b, k].
    """


@keras.saving.register_keras_serializable("ran_tf")
class RelationAttention(_RegionWeights):
    """The weight of each region from its features beside the face's: `sigmoid([F_i:F_m].q1 + c1)`.

    Args:
      attention: "sigmoid" (paper) or "softmax" (released code).

    Call:
      features: float [b, k, 2d], the pairs `[F_i : F_m]`.
      region_mask: bool[b, k] or None; False regions get weight 0.

    Returns:
      nu, f32[b, k].
    """
