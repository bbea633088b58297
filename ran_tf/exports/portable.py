"""The signature `regions` of a network as one file of another format, compared with the network."""

import importlib.util
import json
import os
import pathlib

import numpy as np

from ran_tf.exports import check, onnx_format, signatures, tflite_format
from ran_tf.regions import kinds
from ran_tf.weights.card import ModelCard

MODULES = {"onnx": onnx_format, "tflite": tflite_format}
# Packages that converting and running take.
NEEDS = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "tflite": ("ai_edge_litert",)}


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
      classifier: from `make_classifier`.
      folder: exists.
      card: of the model.
      format: a key of `MODULES`.
    """
    module = MODULES[format]
    notes = {
        "labels.txt": "\n".join(card.labels) + "\n",
        "card.json": card.to_json(),
        "boxes.json": json.dumps(kinds.serving_boxes(card.regions).tolist()),
    }
    module.write(classifier.regions, pathlib.Path(folder) / module.FILE, notes=notes)


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
      format: a key of `MODULES`.
      faces: u8[b, H, W, 3] to compare on; None is noise.

    Raises:
      RuntimeError: if it is more than rounding.
    """
    module = MODULES[format]
    path = pathlib.Path(folder) / module.FILE
    faces = check.example_faces() if faces is None else faces
    exact = model.twin(dtype="float32")
    expected = check.model_outputs(exact, card, faces=faces)
    shape = signatures.regions_shape(model, card)
    regions = check.inputs_of(faces, card=card, shape=shape)["regions"]
    difference = check.largest_difference(module.load(path)(regions), expected)
    check.require(difference, allowed=check.allowed_in_float32(), path=path)
    return difference
