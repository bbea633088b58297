"""Gives batch normalisations that were folded into convolutions real statistics again.

A checkpoint exported for inference has its batch normalisations folded: what is left is a scale and
a shift a channel, written here as a BN with mean 0 and variance 1. In inference that is the right
function. In training mode it is not: the layer normalises with the statistics of the batch, which
are nowhere near 0 and 1, and what was learned is lost at the first step.

Re-inflation measures the true mean `m` and variance `v` of each BN's input on real faces, stores
them as the moving statistics and picks gamma and beta so that the function stays what it was:

    scale = gamma / sqrt(moving_variance + eps)        gamma' = scale * sqrt(v + eps)
    shift = beta - scale * moving_mean                 beta'  = shift + scale * m

In inference nothing changes for any `m` and `v`, so one pass measures every layer, and in training
mode the batch statistics now lie about the stored ones: the output moves by sampling error only.
"""

import keras
import numpy as np
from keras import ops


def reinflate_batch_norm(model: keras.Model, images: np.ndarray, *, batch_size: int = 32) -> None:
    """Sets the statistics of every BN of `model` to those of `images`; its function stays the same.

    Args:
      model: functional `keras.Model` that maps `f32[b,h,w,3]` to anything, built in float32. Its
        `keras.layers.BatchNormalization` layers (subclasses too), which have gamma and beta, are
        changed in place.
      images: `[n,h,w,3]`, n >= 1, u8 or f32 in 0..255 (what `model` takes), real faces **at the
        size of the training that follows**: statistics of FERPlus at 96 px leave training mode at
        128 px wrong by two thirds of the features' spread. A few hundred faces are enough.
      batch_size: how many images are measured at once; it bounds memory and changes nothing else.

    """
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    probe = keras.Model(
        model.inputs[0],
        {layer.name: ops.moments(layer.input, axes=_other_axes(layer)) for layer in layers},
    )
    means = {layer.name: 0.0 for layer in layers}
    squares = {layer.name: 0.0 for layer in layers}
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size], "float32")
        share = len(batch) / len(images)
        for name, moments in probe(batch, training=False).items():
            mean, variance = (ops.convert_to_numpy(x).astype("float64") for x in moments)
            means[name] += share * mean
            squares[name] += share * (variance + mean**2)
    # Only now: the pass must see the model as it was.
    for layer in layers:
        mean = means[layer.name]
        _set_statistics(layer, mean, np.maximum(squares[layer.name] - mean**2, 0.0))


def _other_axes(layer: keras.layers.BatchNormalization) -> tuple[int, ...]:
    rank = len(layer.input.shape)
    return tuple(axis for axis in range(rank) if axis != layer.axis % rank)


def _set_statistics(layer: keras.layers.BatchNormalization, mean, variance) -> None:
    old = {
        name: np.asarray(getattr(layer, name)).astype("float64")
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    scale = old["gamma"] / np.sqrt(old["moving_variance"] + layer.epsilon)
    shift = old["beta"] - scale * old["moving_mean"]
    layer.gamma.assign((scale * np.sqrt(variance + layer.epsilon)).astype("float32"))
    layer.beta.assign((shift + scale * mean).astype("float32"))
    layer.moving_mean.assign(mean.astype("float32"))
    layer.moving_variance.assign(variance.astype("float32"))
