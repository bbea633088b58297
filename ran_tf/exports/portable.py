"""The signature `regions` of a network as one file of another format, compared with the network.

ONNX is for ONNX Runtime, OpenVINO, Triton and the like, LiteRT (TensorFlow Lite) for phones and
small boards. Class names, card and boxes are in the file: in ONNX as its metadata, in LiteRT as its
"associated files", a zip archive behind the network, which `unzip` lists.
"""

import importlib.util
import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np
import tensorflow as tf

from ran_tf.exports import check, signatures
from ran_tf.regions import kinds
from ran_tf.weights.card import ModelCard

FILES = {"onnx": "model.onnx", "tflite": "model.tflite"}
# Packages that converting and running take, of the extra `export`.
NEEDS = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "tflite": ("ai_edge_litert",)}
# What every runtime of the last years reads.
_OPSET = 17
_SIGNATURE = "regions"


def missing(format: str) -> list[str]:
    """Packages that a format needs and that are not installed."""
    return [name for name in NEEDS[format] if importlib.util.find_spec(name) is None]


def check_installed(format: str) -> None:
    """Raises ValueError if a package is missing that `format` needs."""
    absent = missing(format)
    if absent:
        raise ValueError(
            f'`format` {format!r} needs {absent}: pip install "ran_tf[export]". '
            f"Received: format={format!r}"
        )


def make_classifier(model, card: ModelCard) -> signatures.FaceClassifier:
    """The network in float32, of operators that every runtime has."""
    return signatures.FaceClassifier(model.twin(dtype="float32", portable=True), card)


def write_file(classifier, folder: str | os.PathLike, *, card: ModelCard, format: str) -> None:
    """Writes FOLDER/model.<format> with labels, card and boxes in it.

    Args:
      classifier: from `make_classifier`; axes without a size keep none.
      folder: exists.
      card: of the model.
      format: a key of `FILES`.
    """
    notes = {
        "labels.txt": "\n".join(card.labels) + "\n",
        "card.json": card.to_json(),
        "boxes.json": json.dumps(kinds.serving_boxes(card.regions).tolist()),
    }
    write = {"onnx": write_onnx, "tflite": _write_tflite}[format]
    write(classifier.regions, pathlib.Path(folder) / FILES[format], notes=notes)


def write_onnx(function, path: str | os.PathLike, *, notes: dict[str, str]) -> None:
    """Converts a tf.function of constants with an input signature."""
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET
    )
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, path)


def _write_tflite(function, path: pathlib.Path, *, notes: dict[str, str]) -> None:
    module = tf.Module()
    module.function = function
    with tempfile.TemporaryDirectory() as folder:
        # Not from the function itself: inputs and outputs would lose their names.
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in notes.items():
            archive.writestr(name, text)


def load(path: str | os.PathLike, *, threads: int | None = None):
    """A file in its runtime, on the processor: a function of the one input to a dict of outputs.

    Args:
      path: of a file that `write_file` wrote.
      threads: None is the runtime's choice.
    """
    if pathlib.Path(path).suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        runner = interpreter.get_signature_runner(_SIGNATURE)
        (source,) = runner.get_input_details()
        return lambda array: runner(**{source: array})
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return lambda array: dict(zip(names, session.run(names, {source.name: array}), strict=True))


def compare_file(
    folder: str | os.PathLike,
    *,
    model,
    card: ModelCard,
    format: str,
    faces: np.ndarray | None = None,
) -> float:
    """Largest absolute difference of an output between the network and the file in its runtime.

    Args:
      folder: with the file.
      model: the network, in any precision; it is compared with its twin in float32.
      card: of the model.
      format: a key of `FILES`.
      faces: u8[b, H, W, 3] to compare on; None is noise.

    Raises:
      RuntimeError: if it is more than rounding.
    """
    path = pathlib.Path(folder) / FILES[format]
    faces = check.example_faces() if faces is None else faces
    expected = check.model_outputs(model.twin(dtype="float32"), card, faces=faces)
    shape = signatures.regions_shape(model, card)
    regions = check.inputs_of(faces, card=card, shape=shape)["regions"]
    difference = check.largest_difference(load(path)(regions), expected)
    check.require(difference, allowed=check.allowed_in_float32(), path=path)
    return difference
