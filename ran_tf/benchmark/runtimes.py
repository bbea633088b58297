"""Other runtimes for the same network: ONNX Runtime and OpenVINO, where they are installed."""

import importlib.util
import os
import pathlib

import numpy as np
import tensorflow as tf

from ran_tf import export
from ran_tf.config import ModelCard
from ran_tf.serving import freeze, onnx_format

# Packages that each takes, converters included.
NEEDS = {"onnxruntime": ("onnx", "onnxruntime", "tf2onnx"), "openvino": ("openvino",)}


def missing(runtime: str) -> list[str]:
    """Packages that `runtime` needs and that are not installed."""
    return [name for name in NEEDS[runtime] if importlib.util.find_spec(name) is None]


def portable_function(model, card: ModelCard):
    """The network on faces of the card's size, of operators that every runtime has.

    Regions are cut with matrices: ONNX has no operator for TensorFlow's kernel.

    Args:
      model: `RegionAttentionNetwork`.
      card: what it was trained for.

    Returns:
      tf.function of constants, `images u8[b, h, w, 3]` -> {"probabilities" f32[b, n]}.
    """
    portable = export.twin(model, portable=True)
    boxes = export.serving_boxes(card)
    spec = tf.TensorSpec([None, *card.image_size, 3], tf.uint8, name="images")

    @tf.function(input_signature=[spec])
    def classify(images):
        tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(images)[0], 1, 1])
        out = portable({"image": images, "boxes": tiled}, training=False)
        return {"probabilities": tf.nn.softmax(out["logits"])}

    return tf.function(freeze.freeze(classify), input_signature=[spec])


def load_onnxruntime(function, *, folder: str | os.PathLike, threads: int):
    """`faces u8[b, h, w, 3] -> probabilities f32[b, n]` in ONNX Runtime.

    Args:
      function: from `portable_function`.
      folder: where the ONNX file is written.
      threads: as many.
    """
    path = pathlib.Path(folder) / onnx_format.FILE
    onnx_format.write(function, path, notes={})
    run = onnx_format.load(path, threads=threads)
    return lambda faces: run(faces)["probabilities"]


def load_openvino(function, *, folder: str | os.PathLike, threads: int, precision: str):
    """`faces u8[b, h, w, 3] -> probabilities f32[b, n]` in OpenVINO.

    Args:
      function: from `portable_function`.
      folder: where a SavedModel is written for it to read.
      threads: at most as many.
      precision: "f32" or "bf16"; by itself it takes bfloat16 where the processor has it.
    """
    import openvino

    module = tf.Module()
    module.function = function
    path = str(pathlib.Path(folder) / "portable")
    tf.saved_model.save(module, path, signatures=function)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", settings)
    return lambda faces: compiled(faces)[0]
