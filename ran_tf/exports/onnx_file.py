"""A network as ONNX, its weights under the names that they have in a preset.

The weights are arguments of the function that is converted: so nothing is computed from them on the
way, and a graph without any is the same for all networks of one shape, see `preset_graph`.
"""

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ran_tf.weights.weights_file import weights_by_path

# What every runtime of the last years reads.
_OPSET = 17


def write(classifier, path: str | os.PathLike, *, signature: str) -> None:
    """Writes a signature with its weights in float32, normalisation folded into convolutions.

    Args:
      classifier: a `portable.PortableClassifier`.
      path: of the file.
      signature: a key of its `specs`.
    """
    import onnx
    from onnx import numpy_helper

    weights = {
        name: np.asarray(weight, np.float32)
        for name, weight in weights_by_path(classifier.model).items()
    }
    model = convert(classifier, signature, weights=weights)
    to_initializers(
        model, {n: numpy_helper.from_array(value, name=n) for n, value in weights.items()}
    )
    onnx.save(_fold(model), path)


def add_notes(path: str | os.PathLike, notes: Mapping[str, str]) -> None:
    """Puts notes into the metadata of a file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(notes))
    onnx.save(model, path)


def convert(classifier, signature: str, *, weights: Mapping[str, np.ndarray]) -> Any:
    """An ONNX model with one input for faces or regions, and one for each weight.

    Args:
      classifier: a `portable.PortableClassifier`.
      signature: a key of its `specs`.
      weights: for their names, shapes and types.
    """
    import tf2onnx

    variables = weights_by_path(classifier.model)
    call = classifier.signature(signature)

    def function(batch, *values):
        given = [tf.cast(value, tf.float32) for value in values]
        pairs = zip((variables[name] for name in weights), given, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            return call(batch)

    specs = [classifier.specs[signature]]
    specs += [
        # Names of arguments have no slash.
        tf.TensorSpec(value.shape, value.dtype, name=f"weight_{i}")
        for i, value in enumerate(weights.values())
    ]
    traced = tf.function(function, input_signature=specs, autograph=False)
    model, _ = tf2onnx.convert.from_function(traced, input_signature=specs, opset=_OPSET)
    model.graph.name = signature
    names = {f"weight_{i}": name for i, name in enumerate(weights)}
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return model


def to_initializers(model, tensors: Mapping[str, Any]) -> None:
    """Makes inputs constants."""
    inputs = [value for value in model.graph.input if value.name not in tensors]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(tensors.values())


def _fold(model) -> Any:
    """What depends on weights alone, computed; by ONNX Runtime, of operators of ONNX alone."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        folded = onnx.load(path)
    # The runtime lists all that it knows.
    del folded.opset_import[:]
    folded.opset_import.extend(model.opset_import)
    return folded
