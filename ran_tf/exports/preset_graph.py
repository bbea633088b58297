"""python -m ran_tf.exports.preset_graph PRESET_DIR

Writes PRESET_DIR/network.onnx: what ONNX Runtime computes, without weights. Those stay in
model.safetensors, once and in half the bytes: the graph names them and has their shapes, and ONNX
Runtime gets them from `inference.onnx_engine`. So the answers are those of the preset to rounding,
and the graph is that of all presets of its design (`presets.find_graph`).
"""

import pathlib
import sys
from collections.abc import Mapping

import numpy as np

from ran_tf.exports import onnx_file, portable
from ran_tf.safety import files
from ran_tf.weights import preset_file, presets

# Where ONNX Runtime would look for weights that nobody gave it.
_ELSEWHERE = preset_file.WEIGHTS


def make_graph(classifier, *, weights: Mapping[str, np.ndarray]) -> bytes:
    """The signature `images` of a network, without its weights.

    Args:
      classifier: a `portable.PortableClassifier`.
      weights: as a preset stores them, for their names, shapes and types.
    """
    import onnx

    model = onnx_file.convert(classifier, "images", weights=weights)
    outside = {}
    for name, value in weights.items():
        tensor = onnx.TensorProto(
            name=name,
            data_type=onnx.helper.np_dtype_to_tensor_dtype(value.dtype),
            dims=value.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        tensor.external_data.add(key="location", value=_ELSEWHERE)
        outside[name] = tensor
    onnx_file.to_initializers(model, outside)
    return model.SerializeToString(deterministic=True)


def main(preset_dir: str) -> None:
    folder = pathlib.Path(preset_dir)
    trained = presets.load_preset(folder)
    classifier = portable.PortableClassifier(trained.model, trained.card)
    graph = make_graph(classifier, weights=presets.stored_weights(trained.model))
    with files.atomic_path(folder / preset_file.GRAPH) as partial:
        partial.write_bytes(graph)


if __name__ == "__main__":
    main(*sys.argv[1:])
