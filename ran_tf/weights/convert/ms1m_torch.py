"""Face-pretrained ResNets of PyTorch, such as MS-Celeb-1M's `ijba_res18_naive.pth.tar`."""

from pathlib import Path

from ran_tf.models.backbones import build_backbone
from ran_tf.weights.convert.accounting import Converted, Taken, assign_variables, variables_of
from ran_tf.weights.convert.torch_file import read_torch
from ran_tf.weights.convert.torch_resnet import find_backbone, resnet_arrays, step_counters

# Layers behind the pooled features, as checkpoints of this kind call them.
_HEADS = {"fc": "classifier of the old identities", "feature": "embedding of the old head"}


def convert_file(
    source: Path, *, size: tuple[int, int], preprocessing: str, allow_partial: bool
) -> Converted:
    """A ResNet-18, 34 or 50 in torchvision's names into the backbone of that name.

    Left out: the old head (`fc`, `feature`), BN's `num_batches_tracked`, and whatever training kept
    beside the weights.
    """
    file = read_torch(source)
    backbone = find_backbone(file.tensors, source=source)
    model = build_backbone(backbone, size=size, preprocessing=preprocessing)
    take = Taken(file.tensors, source=source)
    arrays = resnet_arrays(model, take)
    left_out = {**file.beside, **step_counters(file.tensors)}
    left_out |= {
        name: _HEADS[head] for name in file.tensors if (head := name.partition(".")[0]) in _HEADS
    }
    left_out = take.finish(left_out=left_out, allow_partial=allow_partial)
    fresh = assign_variables(variables_of(model), arrays, source=source)
    return Converted(
        model=model,
        arguments={"backbone": backbone, "preprocessing": preprocessing},
        left_out=left_out,
        fresh=fresh,
    )
