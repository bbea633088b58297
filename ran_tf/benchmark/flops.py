"""Floating-point operations of a network, counted from its layers (a multiply-add is two)."""

import math

from keras import layers

# A training step does the forward work three times: forward, gradient of inputs, of weights.
TRAINING = 3


def backbone_flops(backbone) -> int:
    """Operations of one image through a functional model: convolutions and dense layers.

    Normalisation, activations and pooling are left out, as is usual: they are limited by memory.
    """
    return sum(_layer_flops(layer) for layer in backbone.layers)


def _layer_flops(layer) -> int:
    if isinstance(layer, layers.Dense):
        return 2 * math.prod(layer.kernel.shape)
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        places = math.prod(layer.output.shape[1:3])
        return 2 * math.prod(layer.kernel.shape) * places
    return 0


def face_flops(model, *, k: int) -> int:
    """Operations of one face with `k` regions through a `RegionAttentionNetwork`, forward."""
    features = model.backbone.output_shape[-1]
    attention = 2 * features + (4 * features if model.relation else 0)
    return k * (backbone_flops(model.backbone) + attention) + _layer_flops(model.classifier)
