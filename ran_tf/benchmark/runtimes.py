"""Other runtimes for the same network: ONNX Runtime and OpenVINO, where they are installed."""

import importlib.util
import os
import pathlib

import tensorflow as tf

from ran_tf.exports import onnx_format, portable

# Packages that each takes, converters included.
NEEDS = {"onnxruntime": portable.NEEDS["onnx"], "openvino": ("openvino",)}


def missing(runtime: str) -> list[str]:
    """Packages that `runtime` needs and that are not installed."""
    return [name for name in NEEDS[runtime] if importlib.util.find_spec(name) is None]


def load_onnxruntime(function, *, folder: str | os.PathLike, threads: int):
    """`regions f32[b, k, h, w, 3] -> probabilities f32[b, n]` in ONNX Runtime.

    Args:
      function: `FaceClassifier.regions`, of `portable.make_classifier`.
      folder: where the ONNX file is written.
      threads: as many.
    """
    path = pathlib.Path(folder) / onnx_format.FILE
    onnx_format.write(function, path, notes={})
    run = onnx_format.load(path, threads=threads)
    return lambda regions: run(regions)["probabilities"]


def load_openvino(function, *, folder: str | os.PathLike, threads: int, precision: str):
    """`regions f32[b, k, h, w, 3] -> probabilities f32[b, n]` in OpenVINO.

    Args:
      function: `FaceClassifier.regions`, of `portable.make_classifier`.
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
    return lambda regions: compiled(regions)["probabilities"]
