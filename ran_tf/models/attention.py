"""Self-attention and relation-attention over the regions of a face (RAN, section III-B).

Both in float32 whatever the policy: they are small. Masked regions have weight exactly 0. Two
modes:

- "sigmoid", the paper: weights in 0..1, independent of each other;
- "softmax", the authors' released code: a softmax over the unmasked regions after each sigmoid.

Weights may be tiny (a sigmoid at -20), and what a network reads of them is quotients:
`mu_i nu_i / sum_j mu_j nu_j`. Those are computed from logarithms, as a softmax of
`log mu + log nu`: the same function, without 0/0, and exact in runtimes whose sigmoid is not.
"""

import keras
from keras import layers, ops

from ran_tf import checks, registry

# The logarithm of the weight of a masked region: finite, and its exponential is 0.
_MASKED = -1e9


def normalise(log_weights, region_mask=None):
    """`w_i / sum_j w_j` of the logarithms of weights.

    Args:
      log_weights: f32[b, k], up to a summand of each face.
      region_mask: bool[b, k] or None; False regions get 0, all of them where none is left.

    Returns:
      f32[b, k].
    """
    if log_weights.shape[-1] == 1:
        # Keras warns of a softmax over one value, and, of ones, that they have no gradient.
        weights = ops.exp(log_weights - log_weights)
    else:
        weights = ops.softmax(log_weights, axis=-1)
    if region_mask is None:
        return weights
    return ops.where(ops.cast(region_mask, "bool"), weights, 0.0)


def weighted_sum(weights, features):
    """`sum_i w_i f_i`: f32[b, k] and f32[b, k, d] -> f32[b, d]."""
    # Not an einsum: for one face its matrix product is slower than this, by threads that wake up.
    return ops.sum(weights[..., None] * features, axis=1)


class _RegionWeights(layers.Layer):
    """One weight for each region: `f32[b, k, d] -> f32[b, k]`."""

    def __init__(self, attention: str = "sigmoid", **kwargs):
        checks.check_choice("attention", attention, registry.ATTENTIONS)
        super().__init__(**{"dtype": "float32", **kwargs})
        self.attention = attention
        self.query = layers.Dense(1, dtype="float32", name="query")

    def build(self, features_shape):
        self.query.build(features_shape)

    def call(self, features, region_mask=None):
        return ops.exp(self.log_weights(features, region_mask))

    def log_weights(self, features, region_mask=None):
        """Logarithms of what a call returns; of masked regions a number whose exponential is 0."""
        features = ops.cast(features, "float32")
        # Flat, as a product over three axes is a dozen small operators on TensorFlow.
        _, k, d = ops.shape(features)
        scores = ops.reshape(self.query(ops.reshape(features, (-1, d))), (-1, k))
        if self.attention == "sigmoid":
            return _mask(_log_sigmoid(scores), region_mask)
        if self.attention == "softmax":
            weights = _mask(ops.sigmoid(scores), region_mask)
            return _mask(weights - ops.logsumexp(weights, axis=-1, keepdims=True), region_mask)
        raise checks.unknown("attention", self.attention)

    def compute_output_shape(self, features_shape, **_):
        return features_shape[:2]

    def get_config(self):
        return {**super().get_config(), "attention": self.attention}


def _log_sigmoid(x):
    """As `ops.log_sigmoid`, of operators that no runtime takes the liberty to simplify.

    LiteRT makes `log(1 + exp(-x))` of Keras' own, which overflows at -89.
    """
    largest = ops.stop_gradient(ops.maximum(-x, 0.0))
    return -(largest + ops.log(ops.exp(-largest) + ops.exp(-x - largest)))


def _mask(log_weights, region_mask):
    if region_mask is None:
        return log_weights
    return ops.where(ops.cast(region_mask, "bool"), log_weights, _MASKED)


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

    Example:
      >>> attention = ran_tf.SelfAttention()
      >>> tuple(attention(np.ones((2, 6, 16), np.float32)).shape)
      (2, 6)
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

    Example:
      >>> attention = ran_tf.RelationAttention("softmax")
      >>> tuple(attention(np.ones((2, 6, 32), np.float32)).shape)
      (2, 6)
    """
