"""Exposure: whether the weights of regions look away from what is covered.

The covered share of the regions under a network's own weights over that under equal ones, each the
mean over faces: at 1 the weights do not care what is covered, below 1 they look away from it.
"""

import numpy as np

from ran_tf.augment import cover

# Pixels of a side that listed areas are drawn on: their edges fall between them by less than 1 %.
_SIDE = 100


def exposure(weights: np.ndarray, covered: np.ndarray | None) -> float | None:
    """See above.

    Args:
      weights: f32[b, k], that sum to 1; 0 of a region that is masked.
      covered: f32[b, k] in 0..1, the share of each region that something covers, NaN of one that is
        masked; or None.

    Returns:
      None for a whole face alone, and where nothing is covered.
    """
    if covered is None or not len(covered) or weights.shape[1] == 1:
        return None
    plain = np.nanmean(covered, axis=1).mean()
    seen = (weights * np.nan_to_num(covered)).sum(axis=1).mean()
    return float(seen / plain) if plain > 0 else None


def shares(opacity: np.ndarray, batch: dict) -> np.ndarray:
    """How much of each region is covered: f32[b, k], NaN of one that is masked.

    Args:
      opacity: f32[b, H, W] in 0..1 of what covers each pixel.
      batch: "boxes" f32[b, k, 4], "mask" bool[b, k].
    """
    covered = np.asarray(cover.covered_shares(opacity, np.asarray(batch["boxes"])))
    return np.where(batch["mask"], covered, np.nan)


def listed_shares(batch: dict) -> np.ndarray:
    """As `shares`, of what a dataset's list says is covered: "occlusion" i64[b] of the batch."""
    listed = np.asarray(batch["occlusion"])
    opacity = cover.listed_opacity(listed, height=_SIDE, width=_SIDE)
    return shares(np.asarray(opacity), batch)
