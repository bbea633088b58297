"""Losses: cross-entropy on labels or votes, and the region biased loss (RAN, section III-C)."""

from typing import Any

import keras
from keras import ops

from ran_tf import checks
from ran_tf.backend import Tensor


def region_biased_loss(mu: Tensor, *, margin: float = 0.02, mask: Tensor | None = None) -> Tensor:
    """`max(0, margin - (max_{i>0} mu_i - mu_0))`: some region must beat the whole face.

    Args:
      mu: f32[b, k], self-attention weights; region 0 is the whole face.
      margin: by how much the best region should exceed the whole face.
      mask: bool[b, k] or None; False regions do not count.

    Returns:
      f32[b]; 0 for a face of which no region but the whole face is left.

    Raises:
      ValueError: if `mu` has not two axes.

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
