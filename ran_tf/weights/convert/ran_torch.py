"""Checkpoints of the paper's released code: a ResNet, `alpha`, `beta` and `fc`.

Their network takes the regions with the original face **last** (index 5 of 6, 7 of 8), ours takes
it first. No weight depends on that: backbone and attention are shared over the regions, and
everything that joins regions is a sum. Only the order of `mu`, `nu` and `weights` differs.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights.convert.accounting import Converted, Taken, assign_variables, variables_of
from ran_tf.weights.convert.torch_file import read_torch
from ran_tf.weights.convert.torch_resnet import find_backbone, resnet_arrays, step_counters


def convert_file(
    source: Path,
    *,
    size: tuple[int, int],
    preprocessing: str,
    allow_partial: bool,
    attention: str | None = None,
) -> Converted:
    """A checkpoint of the released code into a whole `RegionAttentionNetwork`.

    The backbone is inferred from the tensors, the number of classes from the rows of `fc`, and
    relation-attention from its columns: twice the features with it, once without (their
    "part_attention", which stores a `beta` that it never uses). Nothing in the file tells the
    attention: see `convert`.

    Left out: BN's `num_batches_tracked`, the unused `beta`, and what training kept beside the
    weights.
    """
    file = read_torch(source)
    backbone = find_backbone(file.tensors, source=source)
    features = 2048 if backbone == "resnet50" else 512
    classes, columns = _head_shape(file.tensors, source=source)
    if columns not in (features, 2 * features):
        raise ValueError(
            f"{source}: fc must read the {features} features of a {backbone}, or twice as many "
            f"with relation-attention. Received: fc.weight of shape {(classes, columns)}"
        )
    relation = columns == 2 * features
    arguments: dict[str, Any] = {
        "backbone": backbone,
        "num_classes": classes,
        "attention": attention or ("softmax" if relation else "sigmoid"),
        "relation": relation,
        "preprocessing": preprocessing,
    }
    network = RegionAttentionNetwork(**arguments, size=size)
    take = Taken(file.tensors, source=source)
    arrays = resnet_arrays(network.backbone, take)
    variables = variables_of(network.backbone)
    left_out = {**file.beside, **step_counters(file.tensors)}
    for ours, theirs, dense in [
        ("self_attention", "alpha.0", network.self_attention.query),
        ("relation_attention", "beta.0", relation and network.relation_attention.query),
        ("classifier", "fc", network.classifier),
    ]:
        if not dense:
            unused = {f"{theirs}.weight", f"{theirs}.bias"} & set(file.tensors)
            left_out |= dict.fromkeys(unused, "not used without relation-attention")
            continue
        # PyTorch keeps Dense kernels as [outputs, inputs].
        arrays[f"{ours}/kernel"] = np.transpose(take(f"{theirs}.weight"))
        arrays[f"{ours}/bias"] = take(f"{theirs}.bias")
        variables[f"{ours}/kernel"], variables[f"{ours}/bias"] = dense.kernel, dense.bias
    left_out = take.finish(left_out=left_out, allow_partial=allow_partial)
    fresh = assign_variables(variables, arrays, source=source)
    return Converted(model=network, arguments=arguments, left_out=left_out, fresh=fresh)


def _head_shape(tensors, *, source: Path) -> tuple[int, int]:
    head = tensors.get("fc.weight")
    if head is None or head.ndim != 2:
        raise ValueError(
            f"{source}: must hold fc.weight [classes, features], which tells the number of "
            "classes and whether there is relation-attention (for a backbone without a "
            "classifier, use the format ms1m_torch). Received: fc.weight of shape "
            f"{None if head is None else head.shape}"
        )
    return head.shape
