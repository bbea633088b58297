"""The mean of the weights of networks that were trained from one another.

Who trains a network further gains on what it is trained for, and often loses on what it knew. The
mean of the weights before and after keeps much of both (Wortsman et al. 2022, "Robust fine-tuning
of zero-shot models"), and costs no more to run than one network.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ran_tf.checks import InvalidArgument, check_range
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights import sources as resolver
from ran_tf.weights import weights_file

# Arguments that say what the weights mean: shapes may fit where these differ.
_ALIKE = ("backbone", "attention", "preprocessing")


def average_weights(
    sources: Sequence[RegionAttentionNetwork | str | os.PathLike],
    *,
    shares: Sequence[float] | None = None,
) -> RegionAttentionNetwork:
    """A network whose weights are the mean of those of several networks.

    The networks must come from one another, or from the same network by a few epochs each. Those
    that were trained apart have different features under the same names, and their mean is of no
    use: measure the result (`ran_tf.evaluate`).

    Args:
      sources: networks, presets or work directories of training runs, two or more, with the same
        classes, backbone and attention. The result has the regions of the first, its other
        arguments and its card. Sources with other regions or sizes are taken, but the mean fits
        less well.
      shares: of each source, in 0..1, with a sum of 1; all the same when None.

    Returns:
      A new float32 network. No temperature is in its weights, even if those of the sources have
      one: calibrate it (`ran_tf.calibrate`).

    Raises:
      InvalidArgument: for fewer than two sources, or other shares.
      FileNotFoundError, ValueError: for a source that is no network, or does not fit the first.

    Example:
      >>> tuned = ran_tf.from_preset("ran_faceres_covered_ferplus")  # after `fit`, say
      >>> both = ran_tf.average_weights([tuned, "ran_faceres_shared_ferplus"], shares=[0.7, 0.3])
      >>> len(both.card.labels)
      8
    """
    if isinstance(sources, (str, os.PathLike)) or len(sources) < 2:
        raise InvalidArgument("sources", "two or more networks", sources)
    shares = check_shares(shares, count=len(sources))
    first, *others = map(_load, sources)
    mean = {name: shares[0] * value for name, value in _weights(first).items()}
    for other, source, share in zip(others, sources[1:], shares[1:], strict=True):
        _check_alike(other, first, source=source)
        for name, value in _weights(other).items():
            mean[name] += share * value
    result = first.twin(dtype="float32")
    for name, weight in weights_file.weights_by_path(result).items():
        weight.assign(mean[name])
    if first.card is not None:
        result.card = dataclasses.replace(first.card, temperature=1.0, covered=None)
    return result


def _load(source: Any) -> RegionAttentionNetwork:
    if isinstance(source, RegionAttentionNetwork):
        return source
    return resolver.load_trained(source).model


def _weights(model: RegionAttentionNetwork) -> dict[str, np.ndarray]:
    """By path, as they were before calibration: one temperature must not outweigh another."""
    temperature = 1.0 if model.card is None else model.card.temperature
    return {
        name: np.asarray(weight, np.float64)
        * (temperature if name.startswith("classifier/") else 1.0)
        for name, weight in weights_file.weights_by_path(model).items()
    }


def check_shares(shares: Sequence[float] | None, *, count: int) -> list[float]:
    """The shares of `count` networks in their mean: all the same when None.

    Raises:
      InvalidArgument: unless there is one for each, in 0..1, and their sum is 1.
    """
    if shares is None:
        return [1 / count] * count
    for share in shares:
        check_range("shares", share, low=0, high=1)
    if len(shares) != count or abs(sum(shares) - 1) > 1e-6:
        raise InvalidArgument("shares", f"{count} numbers with a sum of 1, one a source", shares)
    return list(shares)


def _check_alike(model, first, *, source: Any) -> None:
    labels = [None if m.card is None else m.card.labels for m in (model, first)]
    theirs, ours = model.get_config(), first.get_config()
    different = [name for name in _ALIKE if theirs[name] != ours[name]]
    there, here = (
        {name: tuple(w.shape) for name, w in weights_file.weights_by_path(m).items()}
        for m in (model, first)
    )
    if None not in labels and labels[0] != labels[1]:
        expected, received = f"networks of the classes {labels[1]}", labels[0]
    elif different:
        name = different[0]
        expected, received = f"networks with {name}={ours[name]!r}", theirs[name]
    elif there != here:
        name = next(n for n in (*here, *there) if here.get(n) != there.get(n))
        expected = f"networks with the same weights: {name} has shape {here.get(name)}"
        received = there.get(name)
    else:
        return
    name = source.name if isinstance(source, RegionAttentionNetwork) else str(source)
    raise InvalidArgument("sources", expected, (name, received))
