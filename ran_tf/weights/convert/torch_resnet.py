"""How torchvision names the tensors of a ResNet, and the layer of ours that each belongs to."""

import re
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from ran_tf.weights.convert.accounting import Taken

# Blocks in each of the four stages, and whether a block is a bottleneck.
_DEPTHS = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def find_backbone(tensors: Mapping[str, np.ndarray], *, source: Path) -> str:
    """The name of the ResNet whose tensors these are.

    Raises:
      ValueError: if they are of none that we have.
    """
    blocks = {m.groups() for name in tensors if (m := re.match(r"layer(\d+)\.(\d+)\.", name))}
    a, b, c, d = (len([x for x in blocks if x[0] == str(stage)]) for stage in (1, 2, 3, 4))
    depths = (a, b, c, d)
    bottleneck = "layer1.0.conv3.weight" in tensors
    if (depths, bottleneck) not in _DEPTHS:
        raise ValueError(
            f"{source}: must hold a {', '.join(_DEPTHS.values())} in torchvision's names "
            "(conv1.weight, layer1.0.conv1.weight, ...). Received: stages of "
            f"{'x'.join(map(str, depths))} {'bottleneck' if bottleneck else 'basic'} blocks in "
            f"{len(tensors)} tensors, the first being {sorted(tensors)[:3]}"
        )
    return _DEPTHS[depths, bottleneck]


def resnet_arrays(backbone: keras.Model, take: Taken) -> dict[str, np.ndarray]:
    """Arrays for every variable of our ResNet, keyed `<layer name>/<variable name>`."""
    arrays = {}
    for layer in backbone.layers:
        name = re.sub(r"^layer(\d+)_(\d+)_", r"layer\1.\2.", layer.name)
        name = re.sub(r"\bdownsample_(\d)$", r"downsample.\1", name)
        if isinstance(layer, keras.layers.Conv2D):
            kernel = take(f"{name}.weight")
            # [out, in, h, w] -> [h, w, in, out]; another rank is reported by its shape.
            kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
            arrays[f"{layer.name}/kernel"] = kernel
        elif isinstance(layer, keras.layers.BatchNormalization):
            for ours, theirs in _BATCH_NORM.items():
                arrays[f"{layer.name}/{ours}"] = take(f"{name}.{theirs}")
    return arrays


def step_counters(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The tensors that count the training steps of a BN, for the report of what is left out."""
    suffix = ".num_batches_tracked"
    return {name: "counts training steps" for name in tensors if name.endswith(suffix)}
