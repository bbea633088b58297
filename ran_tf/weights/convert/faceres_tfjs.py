"""FaceRes: MobileNetV1, alpha 1, trained on VGGFace2 by HSE-FaceRes, as a TF.js graph model."""

from pathlib import Path

import numpy as np

from ran_tf.models.backbones import build_backbone
from ran_tf.weights.convert.accounting import Converted, Taken, assign_variables, variables_of
from ran_tf.weights.convert.tfjs import read_tfjs

_HEADS = ("feats", "age_pred", "gender_pred")


def convert_file(
    source: Path, *, size: tuple[int, int], preprocessing: str, allow_partial: bool
) -> Converted:
    """FaceRes, a TF.js graph model with folded BN, into the backbone `mobilenet_v1`.

    The file keeps, for conv1 and the pointwise convolutions, kernels with the BN's scale multiplied
    in (`conv1/convolution/merged_input`), for the depthwise ones kernel and scale side by side
    (`conv_dw_1/depthwise_kernel`, `conv_dw_1_bn/batchnorm_1/mul`), and the BN's shift for all
    (`*_bn/batchnorm_1/sub`). They become a BN of mean 0 and variance 1 that computes the same; give
    it real statistics (`ran_tf.weights.reinflate`) before training.
    """
    tensors = read_tfjs(source)
    take = Taken(tensors, source=source)
    blocks = range(1, 14)
    arrays = {}
    for conv in ["conv1", *(f"conv_{kind}_{i}" for i in blocks for kind in ("dw", "pw"))]:
        shift = take(f"{conv}_bn/batchnorm_1/sub")
        if conv.startswith("conv_dw"):
            arrays[f"{conv}/kernel"] = take(f"{conv}/depthwise_kernel")
            scale = take(f"{conv}_bn/batchnorm_1/mul")
        else:
            arrays[f"{conv}/kernel"] = take(f"{conv}/convolution/merged_input")
            scale = np.ones_like(shift)
        arrays[f"{conv}_bn/gamma"] = scale
        arrays[f"{conv}_bn/beta"] = shift
        arrays[f"{conv}_bn/moving_mean"] = np.zeros_like(shift)
        take.constant(f"{conv}_relu/Cast", 6.0)
        take.constant(f"{conv}_relu/Const_1", 0.0)
    take.constant("global_pooling/Mean/reduction_indices", [1, 2])
    left_out = {
        f"{head}/{part}": "age and gender head" for head in _HEADS for part in ("kernel", "bias")
    }
    left_out = take.finish(left_out=left_out, allow_partial=allow_partial)

    arguments = {"backbone": "mobilenet_v1", "preprocessing": preprocessing}
    model = build_backbone("mobilenet_v1", size=size, preprocessing=preprocessing)
    for name in [name for name in arrays if name.endswith("/moving_mean")]:
        layer = model.get_layer(name.removesuffix("/moving_mean"))
        one = np.full_like(arrays[name], 1.0 - layer.epsilon)  # so that variance + epsilon is 1
        arrays[f"{layer.name}/moving_variance"] = one
    fresh = assign_variables(variables_of(model), arrays, source=source)
    return Converted(model=model, arguments=arguments, left_out=left_out, fresh=fresh)
