"""Losses: cross-entropy on labels or votes, the region biased loss (RAN, section III-C), and one on
what weights of regions that something covers should be."""

from typing import Any

import keras
from keras import ops

from ran_tf import checks, vocabulary
from ran_tf.backend import Tensor

# Shares below count for nothing.
_COVERED = 0.01
# The power of visibility that weights are drawn to: half covered, a sixteenth.
_SHARPNESS = 4
# By how much a region must be more visible than another to outweigh it, and by how much it must.
_CLEARER, _RANK_MARGIN = 0.1, 0.02
# Below, float32's logarithm is not exact.
_LEAST = 1e-30


def region_biased_loss(mu: Tensor, *, margin: float = 0.02, mask: Tensor | None = None) -> Tensor:
    """`max(0, margin - (max_{i>0} mu_i - mu_0))`: some region must beat the whole face.

    Args:
      mu: f32[b, k], self-attention weights; region 0 is the whole face.
      margin: by how much the best region should exceed the whole face.
      mask: bool[b, k] or None; False regions do not count.

    Returns:
      f32[b]; 0 for a face whose only unmasked region is the whole face.

    Raises:
      ValueError: if `mu` does not have two axes.

    Example:
      >>> float(ran_tf.region_biased_loss(np.float32([[0.5, 0.4, 0.25]]), margin=0.25)[0])
      0.3499...
    """
    mu = ops.cast(mu, "float32")
    if len(mu.shape) != 2:
        raise ValueError(f"`mu` must be f32[b, k]. Received: mu.shape={tuple(mu.shape)}")
    if mu.shape[1] == 1:
        return ops.zeros_like(mu[:, 0])
    regions = mu[:, 1:]
    if mask is None:
        return ops.relu(margin - (ops.max(regions, axis=1) - mu[:, 0]))
    left = ops.cast(mask, "bool")[:, 1:]
    # -1 is below every weight, and finite: its gradient is no NaN where every region is masked.
    best = ops.max(ops.where(left, regions, -1.0), axis=1)
    return ops.where(ops.any(left, axis=1), ops.relu(margin - (best - mu[:, 0])), 0.0)


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with class probabilities, from logits.

    Args:
      logits: f32[b, n].
      targets: f32[b, n], one-hot labels or vote distributions; rows sum to 1.
      label_smoothing: share of each target that is spread evenly over the classes.

    Returns:
      f32[b].
    """
    targets = ops.cast(targets, "float32")
    if label_smoothing:
        targets = targets * (1.0 - label_smoothing) + label_smoothing / targets.shape[-1]
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.einsum("bn,bn->b", targets, log_probabilities)


def visibility_loss(
    weights: Tensor, covered: Tensor, *, kind: str = "kl", mask: Tensor | None = None
) -> Tensor:
    """Moves attention to the visible regions of partly covered faces.

    In the paper, attention should find these regions by itself. This loss trains it to.

    Args:
      weights: f32[b, k], the weights of `RegionAttentionNetwork`, which sum to 1.
      covered: f32[b, k] in 0..1, the share of each region that something covers.
      kind: "kl" is the divergence of the weights from visibility^4, normalised to sum 1, where
        visibility is 1 - covered. "own" is the divergence from the weights themselves times
        visibility^4, without a gradient through this target: covered regions lose weight, and the
        others keep their proportions. "rank": if one of two regions is more visible by a tenth, it
        must weigh more by 0.02. It is the mean over such pairs of
        `max(0, 0.02 - (w_more - w_less))`.
      mask: bool[b, k] or None; False regions do not count.

    Returns:
      f32[b]; 0 for a face that is not covered, or completely covered.

    Raises:
      ValueError: for another kind.

    Example:
      >>> weights, covered = np.float32([[0.5, 0.25, 0.25]]), np.float32([[0.5, 1.0, 0.0]])
      >>> float(ran_tf.visibility_loss(weights, covered)[0])
      1.1218...
    """
    checks.check_choice("kind", kind, vocabulary.VISIBILITY_LOSSES)
    weights, covered = (ops.cast(value, "float32") for value in (weights, covered))
    there = ops.ones_like(weights) if mask is None else ops.cast(mask, "float32")
    visible = (1.0 - covered) * there
    if kind == "rank":
        loss = _disorder(weights, visible, there)
    else:
        wanted = visible**_SHARPNESS
        if kind == "own":
            wanted = wanted * ops.stop_gradient(weights)
        loss = _divergence(weights, wanted, there)
    something = ops.max(covered * there, axis=1) > _COVERED
    return ops.where(something & (ops.max(visible, axis=1) > _COVERED), loss, 0.0)


def _divergence(weights, wanted, there):
    wanted = wanted / ops.maximum(ops.sum(wanted, axis=1, keepdims=True), _LEAST)
    # Of regions with a weight of 0, masked or not, nothing is wanted, or all too much.
    logs = ops.log(ops.maximum(wanted, _LEAST)) - ops.log(ops.maximum(weights, _LEAST))
    return ops.sum(wanted * logs * there, axis=1)


def _disorder(weights, visible, there):
    both = there[:, :, None] * there[:, None, :]
    clearer = visible[:, :, None] - visible[:, None, :] > _CLEARER
    pairs = ops.cast(clearer, "float32") * both
    short = ops.relu(_RANK_MARGIN - (weights[:, :, None] - weights[:, None, :]))
    return ops.sum(short * pairs, axis=(1, 2)) / ops.maximum(ops.sum(pairs, axis=(1, 2)), 1.0)


@keras.saving.register_keras_serializable("ran_tf")
class RegionBiasedLoss(keras.losses.Loss):
    """`region_biased_loss` for `compile`: `y_true` is the region mask, `y_pred` is `mu`.

    Args:
      margin: by how much the best region should exceed the whole face.

    Raises:
      InvalidArgument: for a margin outside of 0..1.

    Example:
      >>> loss = ran_tf.RegionBiasedLoss(margin=0.0)
      >>> float(loss(np.ones((1, 3), bool), np.float32([[0.5, 0.75, 0.25]])))
      0.0
    """

    def __init__(
        self, margin: float = 0.02, *, name: str = "region_biased_loss", **kwargs: Any
    ) -> None:
        checks.check_range("margin", margin, low=0.0, high=1.0)
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return region_biased_loss(y_pred, margin=self.margin, mask=y_true)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}
