"""Floating-point operations of a network, counted from its layers (a multiply-add is two)."""

import math

import keras
from keras import layers

from ran_tf.models import shared_trunk

# A training step does the forward work three times: forward, gradient of inputs, of weights.
TRAINING = 3


def backbone_flops(backbone) -> int:
    """Operations of one image through a functional model: convolutions and dense layers.

    Normalisation, activations and pooling are left out, as is usual: they are limited by memory.
    """
    total = 0

    def count(layer, *args, **kwargs):
        nonlocal total
        output = layer(*args, **kwargs)
        total += _layer_flops(layer, output)
        return output

    # Symbolically: `layer.output` is that of the size a layer was first called with, and the late
    # layers of a shared trunk may see another. A Sequential takes no `call_function`.
    functional = keras.Model(backbone.inputs, backbone.outputs)
    keras.models.clone_model(functional, clone_function=lambda layer: layer, call_function=count)
    return total


def _layer_flops(layer, output) -> int:
    if isinstance(layer, layers.Dense):
        return 2 * math.prod(layer.kernel.shape)
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        weights = math.prod(layer.kernel.shape)
    elif isinstance(layer, layers.SeparableConv2D):
        weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    else:
        return 0
    return 2 * weights * math.prod(output.shape[1:3])


def face_flops(model, *, k: int) -> int:
    """Operations of one face with `k` regions through a `RegionAttentionNetwork`, forward."""
    features = model.backbone.output_shape[-1]
    attention = 2 * features + (4 * features if model.relation else 0)
    return _trunk_flops(model, k=k) + k * attention + 2 * math.prod(model.classifier.kernel.shape)


def _trunk_flops(model, *, k: int) -> int:
    arguments = model.get_config()
    if arguments["trunk"] == "full":
        return k * backbone_flops(model.backbone)
    stages = shared_trunk.split_backbone(
        model.backbone, split=arguments["split"], region_map=arguments["region_map"]
    )
    return backbone_flops(stages.early) + k * backbone_flops(stages.late)
