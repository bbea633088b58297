"""Self-attention and relation-attention over the regions of a face (RAN, section III-B).

Both in float32 whatever the policy: they are small. Masked regions have weight exactly 0. Ours,
beside which users register theirs (`ran_tf.register_attention`):

- "sigmoid", the paper: weights in 0..1, independent of each other;
- "softmax", the authors' released code: a softmax over the unmasked regions after each sigmoid.

Weights may be tiny (a sigmoid at -20), and what a network reads of them is quotients:
`mu_i nu_i / sum_j mu_j nu_j`. Those are computed from logarithms, as a softmax of
`log mu + log nu`: the same function, without 0/0, and exact in runtimes whose sigmoid is not.
"""

from typing import Any

import keras
from keras import layers, ops

from ran_tf import backend, checks, registry
from ran_tf.backend import Tensor

# The logarithm of the weight of a masked region: finite, and its exponential is 0.
_MASKED = -1e9
# The smallest weight whose logarithm is taken: below, float32 is not exact.
_LEAST = 1e-37


def make_attention(attention: str, *, features: int, name: str) -> layers.Layer:
    """A registered attention, with its weights.

    Args:
      attention: what it is registered as.
      features: of a region.
      name: of the layer.

    Raises:
      NotRegisteredError: for a name that nothing goes by.
      InvalidArgument: if it does not give one weight for each region.
    """
    with backend.layer_defaults("float32"):
        layer = registry.ATTENTIONS.find(attention)(name=name)
        given = keras.KerasTensor((2, 3, features)), keras.KerasTensor((2, 3), dtype="bool")
        weights = layer(given[0], region_mask=given[1])
    if tuple(weights.shape) != (2, 3):
        expected = f"weights [b, k] of features [b, k, d], such as (2, 3), of {attention!r}"
        raise checks.InvalidArgument("attention", expected, tuple(weights.shape))
    return layer


def log_weights(layer: layers.Layer, features: Tensor, region_mask: Tensor | None = None) -> Tensor:
    """Logarithms of the weights of regions by an attention.

    Args:
      layer: see `registry.register_attention`.
      features: float [b, k, d].
      region_mask: bool[b, k] or None.

    Returns:
      f32[b, k]; of masked regions a number whose exponential is 0.
    """
    features = ops.cast(features, "float32")
    if hasattr(layer, "log_weights"):
        logs = layer.log_weights(features, region_mask)
    else:
        weights = ops.cast(layer(features, region_mask=region_mask), "float32")
        logs = ops.log(ops.maximum(weights, _LEAST))
    return _mask(logs, region_mask)


def normalise(log_weights: Tensor, region_mask: Tensor | None = None) -> Tensor:
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


def weighted_sum(weights: Tensor, features: Tensor) -> Tensor:
    """`sum_i w_i f_i`: f32[b, k] and f32[b, k, d] -> f32[b, d]."""
    # Not an einsum: for one face its matrix product is slower than this, by threads that wake up.
    return ops.sum(weights[..., None] * features, axis=1)


@keras.saving.register_keras_serializable("ran_tf")
class SelfAttention(layers.Layer):
    """The weight of each region from its features: `mu_i = sigmoid(F_i . q0 + c0)`.

    Args:
      attention: "sigmoid" (paper) or "softmax" (released code).

    Call:
      features: float [b, k, d].
      region_mask: bool[b, k] or None; False regions get weight 0.

    Returns:
      mu, f32[b, k].

    Raises:
      InvalidArgument: for another attention.

    Example:
      >>> attention = ran_tf.SelfAttention()
      >>> tuple(attention(np.ones((2, 6, 16), np.float32)).shape)
      (2, 6)
    """

    def __init__(self, attention: str = "sigmoid", **kwargs: Any) -> None:
        checks.check_choice("attention", attention, ("sigmoid", "softmax"))
        super().__init__(**{"dtype": "float32", **kwargs})
        self.attention = attention
        self.query = layers.Dense(1, dtype="float32", name="query")

    def build(self, features_shape: tuple[int | None, ...]) -> None:
        self.query.build(features_shape)

    def call(self, features: Tensor, region_mask: Tensor | None = None) -> Tensor:
        return ops.exp(self.log_weights(features, region_mask))

    def log_weights(self, features: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """Logarithms of the weights. Masked regions have a number whose exponential is 0."""
        features = ops.cast(features, "float32")
        # Flat, as a product over three axes is a dozen small operators on TensorFlow.
        _, k, d = ops.shape(features)
        scores = ops.reshape(self.query(ops.reshape(features, (-1, d))), (-1, k))
        if self.attention == "sigmoid":
            return _mask(_log_sigmoid(scores), region_mask)
        weights = _mask(ops.sigmoid(scores), region_mask)
        return _mask(weights - ops.logsumexp(weights, axis=-1, keepdims=True), region_mask)

    def compute_output_shape(
        self, features_shape: tuple[int | None, ...], **_: Any
    ) -> tuple[int | None, ...]:
        return features_shape[:2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "attention": self.attention}


@keras.saving.register_keras_serializable("ran_tf")
class RelationAttention(SelfAttention):
    """The weight of each region beside the face: `nu_i = sigmoid([F_i : F_m] . q1 + c1)`.

    This is the layer of `SelfAttention` for pairs, with the same arguments and call. It is a
    separate class because Keras' weights files name layers by their classes.

    Example:
      >>> attention = ran_tf.RelationAttention("softmax")
      >>> tuple(attention(np.ones((2, 6, 32), np.float32)).shape)
      (2, 6)
    """


def sigmoid(name: str) -> SelfAttention:
    """The paper's; the layer's name says which of the two it is."""
    return _layer_of(name)("sigmoid", name=name)


def softmax(name: str) -> SelfAttention:
    """The released code's."""
    return _layer_of(name)("softmax", name=name)


def _layer_of(name: str) -> type[SelfAttention]:
    return RelationAttention if name == "relation_attention" else SelfAttention


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
