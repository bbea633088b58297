"""Mixup: every face of a batch is blended with another one, and so are their targets.

mixup: Beyond Empirical Risk Minimization (Zhang et al., ICLR 2018), equation 2. In Keras ops and a
pure function of uniform draws, as `augment` is.
"""

import functools

import numpy as np
from keras import ops

# Entries of the table of shares; between them is a straight line.
_QUANTILES = 4097


def mix(image, targets, draws, *, alpha: float, opacity=None) -> dict:
    """Blends face i with face b-1-i: in random order, any fixed partner is a random one.

    The batch is that of a replica: on more devices a face has another partner.

    Args:
      image: f32[b, H, W, C].
      targets: f32[b, n], rows sum to 1.
      draws: f32[b], uniform in 0..1.
      alpha: of the symmetric beta distribution of a face's own share; small: mostly one face.
      opacity: f32[b, H, W] of what covers the faces, or None.

    Returns:
      dict: image f32[b, H, W, C], targets f32[b, n], and opacity where it was given.
    """
    share = _shares(draws, alpha=alpha)
    mixed = {
        "image": _blend(image, share[:, None, None, None]),
        "targets": _blend(targets, share[:, None]),
    }
    if opacity is not None:
        mixed["opacity"] = _blend(opacity, share[:, None, None])
    return mixed


def _blend(values, share):
    return share * values + (1.0 - share) * ops.flip(values, axis=0)


def _shares(draws, *, alpha: float):
    """The quantiles of beta(alpha, alpha) at uniform draws: f32[b] in 0..1."""
    table = ops.convert_to_tensor(beta_quantiles(alpha), dtype="float32")
    place = draws * (_QUANTILES - 1)
    below = ops.clip(ops.floor(place), 0, _QUANTILES - 2)
    index = ops.cast(below, "int32")
    low, high = ops.take(table, index), ops.take(table, index + 1)
    return low + (place - below) * (high - low)


@functools.cache
def beta_quantiles(alpha: float) -> np.ndarray:
    """Quantiles of beta(alpha, alpha) at equally spaced probabilities 0..1: f64[4097].

    The lower half is the integral of x^(alpha-1) (1-x)^(alpha-1) over 0..1/2; with t = x^alpha its
    integrand (1 - t^(1/alpha))^(alpha-1) / alpha has no pole. The upper half mirrors it.
    """
    t = np.linspace(0.0, 0.5**alpha, 65537)
    x = t ** (1.0 / alpha)
    density = (1.0 - x) ** (alpha - 1.0)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    half = np.interp(np.linspace(0.0, 1.0, _QUANTILES // 2 + 1), mass / mass[-1], x)
    return np.concatenate([half, 1.0 - half[-2::-1]])
