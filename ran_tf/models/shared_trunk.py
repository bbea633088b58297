"""A backbone in two stages: early layers see a face once, late layers see each of its regions.

Regions are cut out of the early layers' feature map and not out of the pixels, so that a face with
six regions costs the late layers six times and the early ones, which are most of a backbone, once.
This goes beyond the paper.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from ran_tf.regions import crop

# The last layer at a sixteenth of the face's side: what follows is a small part of the work (14 %
# of MobileNetV1), and the map still tells the regions of a face apart.
SPLITS = {
    "resnet18": "layer3_1_relu",
    "resnet34": "layer3_5_relu",
    "resnet50": "layer3_5_relu",
    "vgg16": "pool4",
    "mobilenet_v1": "conv_pw_11_relu",
}


@dataclasses.dataclass(frozen=True)
class Stages:
    """Two views of one backbone, which goes on owning every layer and weight.

    Not a Keras layer: the views would be stored a second time beside the backbone, and weights of a
    model with `trunk="full"` would no longer load.

    Attributes:
      early: [b, H, W, 3] -> map [b, h, w, c].
      late: [b, h, w, c] -> features [b, d].
      region_map: (height, width) that a region of the map is resized to.
      late_of_region: [b, *region_map, c] -> features [b, d]: `late` itself where sizes are the
        same.
    """

    early: keras.Model
    late: keras.Model
    region_map: tuple[int, int]
    late_of_region: keras.Model


def split_backbone(
    backbone: keras.Model, *, split: str | None = None, region_map: tuple[int, int] | None = None
) -> Stages:
    """Views a backbone as early and late stages.

    Args:
      backbone: from `build_backbone`.
      split: name of the last early layer; None is that of `SPLITS`.
      region_map: (height, width) of a region's map; None is the size of the whole face's, which
        always keeps its own.

    Raises:
      ValueError: for a layer that the backbone lacks or that others bypass, or a size that the late
        layers do not take.
    """
    last = _find_layer(backbone, split)
    try:
        early = keras.Model(backbone.input, last.output, name="early")
        late = keras.Model(last.output, backbone.output, name="late")
    except ValueError as error:
        raise ValueError(
            "`split` must be a layer that no connection bypasses, such as the last of a block. "
            f"Received: split={split!r}"
        ) from error
    height, width = region_map or last.output.shape[1:3]
    same = (height, width) == last.output.shape[1:3]
    return Stages(
        early=early,
        late=late,
        region_map=(height, width),
        late_of_region=late if same else _at_size(late, (height, width)),
    )


def _find_layer(backbone, split):
    name = split or SPLITS.get(backbone.name)
    maps = [layer.name for layer in backbone.layers[1:] if len(layer.output.shape) == 4]
    if name is None:
        raise ValueError(
            f"`split` must be given for backbone={backbone.name!r} (only {tuple(SPLITS)} have a "
            f"default): the last layer that sees the whole face, one of {maps}. "
            f"Received: split={split!r}"
        )
    if name not in maps:
        raise ValueError(f"`split` must be one of the layers {maps}. Received: split={split!r}")
    return backbone.get_layer(name)


def _at_size(late, size: tuple[int, int]):
    """The same layers on maps of another size: a functional model knows only its first."""
    (first,) = late.inputs
    inputs = keras.Input((*size, first.shape[-1]), dtype=first.dtype, name="region_map")
    try:
        return keras.models.clone_model(
            late, input_tensors=inputs, clone_function=lambda layer: layer
        )
    except ValueError as error:
        raise ValueError(
            "`region_map` must be a size that the layers after the split accept (None always "
            f"works). Received: region_map={size!r}: {error}"
        ) from error


def shared_features(stages: Stages, face, boxes, *, training=None, portable: bool = False):
    """Features of every region, the early stages run once a face.

    Args:
      stages: of the backbone.
      face: f32[b, H, W, 3] in 0..255, whole faces at the backbone's input size.
      boxes: f32[b, k, 4], or a NumPy array f32[k, 4] of all faces; region 0 is the whole face,
        whatever its box.
      training: as in Keras.
      portable: cut with gathers on TensorFlow too.

    Returns:
      [b * k, d] in the compute dtype, the regions of a face one after the other.
    """
    whole = stages.early(face, training=training)
    if boxes.shape[-2] == 1:
        return stages.late(whole, training=training)
    # Region 0 is the map itself: cutting it would only cost time.
    cut = _cut(whole, boxes[..., 1:, :], size=stages.region_map, portable=portable)
    cut = ops.cast(cut, whole.dtype)
    if stages.late_of_region is stages.late:
        # All in one batch: the late batch normalisation sees them as in the paper's network.
        regions = ops.concatenate([whole[:, None], cut], axis=1)
        return stages.late(_folded(regions), training=training)
    # Of two sizes there are two batches. Both are normalised alike after training, so while they
    # train the regions are with the moving statistics, those of whole faces.
    first = stages.late(whole, training=training)
    others = stages.late_of_region(_folded(cut), training=False)
    features = first.shape[-1]
    others = ops.reshape(others, (-1, boxes.shape[-2] - 1, features))
    return ops.reshape(ops.concatenate([first[:, None], others], axis=1), (-1, features))


def _folded(regions):
    """[b * k, h, w, c] of [b, k, h, w, c]."""
    return ops.reshape(regions, (-1, *regions.shape[2:]))


def _of_all_faces(boxes) -> bool:
    """Whether regions are the same on every face: constants of a graph."""
    return isinstance(boxes, np.ndarray) and boxes.ndim == 2


def _cut(whole, boxes, *, size: tuple[int, int], portable: bool):
    if _of_all_faces(boxes):
        return crop.crop_with_matrices(ops.transpose(whole, (0, 3, 1, 2)), boxes, size=size)
    return crop.crop_regions(whole, boxes, size=size, portable=portable)
