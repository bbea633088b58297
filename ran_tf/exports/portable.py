"""A network as files of other formats, compared with the network in their runtimes.

ONNX is for ONNX Runtime, OpenVINO, Triton and the like, LiteRT (TensorFlow Lite) for phones and
small boards. Both have two signatures, which take faces and regions; a file of LiteRT holds both,
of ONNX there is one for each. Class names, card and boxes are in each file: in ONNX as its
metadata, in LiteRT as its "associated files", a zip archive behind the network that `unzip` lists.
"""

import importlib.util
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf.exports import check, signatures
from ran_tf.images import resampling
from ran_tf.images.preparing import luma
from ran_tf.regions import crop, kinds
from ran_tf.regions.boxes import WHOLE_FACE
from ran_tf.weights import onnx_session
from ran_tf.weights.card import ModelCard, Quantised

# Where each signature is.
FILES = {
    "onnx": {"images": "model.onnx", "regions": "regions.onnx"},
    "tflite": {"images": "model.tflite", "regions": "model.tflite"},
    # A page sends whole faces.
    "web": {"images": "model.onnx"},
}
# Packages that converting and running take, of the extra `export`.
_ONNX = ("onnx", "onnxruntime", "tf2onnx")
NEEDS = {"onnx": _ONNX, "tflite": ("ai_edge_litert",), "web": _ONNX}
# Of a face that is resized: where a value lies half-way between two grey levels, runtimes differ.
_RESIZED = 1e-2
# Faces at once: their regions in float32 take 20 MB.
_COMPARED = 64


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


class PortableClassifier:
    """The signatures of a network, of operators that every runtime has, in float32.

    Attributes:
      model: the network.
      card: of it.
      specs: what each signature takes, by its name.
    """

    def __init__(self, model, card: ModelCard):
        self.model = model.twin(dtype="float32", portable=True)
        self.card = card
        self._boxes = kinds.serving_boxes(card.regions)
        shape = signatures.regions_shape(model, card)
        self._cut = self._boxes[: shape[0]]
        self.specs = {
            "images": tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"),
            "regions": tf.TensorSpec([None, *shape], tf.float32, name="regions"),
        }

    def images(self, images) -> dict:
        """Faces of any size: u8[b, H, W, 3] -> probabilities, label, weights, boxes."""
        planes = tf.unstack(tf.cast(images, tf.float32), axis=-1)
        if self.card.colour == "grey":
            planes = [tf.floor(luma(*planes))]
        face = resampling.resize_portable(tf.stack(planes, axis=1), size=self.card.image_size)
        size = tuple(self.specs["regions"].shape[2:4])
        if size == tuple(face.shape[2:]) and np.array_equal(self._cut, [WHOLE_FACE]):
            regions = tf.transpose(face, [0, 2, 3, 1])[:, tf.newaxis]
        else:
            regions = crop.crop_with_matrices(face, self._cut, size=size)
        if self.card.colour == "grey":
            regions = tf.tile(regions, [1, 1, 1, 1, 3])
        boxes = tf.tile(tf.constant(self._boxes[np.newaxis]), [tf.shape(images)[0], 1, 1])
        return {**self.regions(regions), "boxes": boxes}

    def regions(self, regions) -> dict:
        """Crops: f32[b, k, h, w, 3] in 0..255 -> probabilities, label, weights."""
        found = self.model.classify_regions(regions, self._boxes, training=False)
        return signatures.outputs_of(found)

    def signature(self, name: str) -> Callable[..., dict]:
        """The function of a name of `specs`."""
        return {"images": self.images, "regions": self.regions}[name]


def write_files(
    model,
    folder: str | os.PathLike,
    *,
    card: ModelCard,
    format: str,
    quantise: str | None = None,
    faces: np.ndarray | None = None,
) -> None:
    """Writes the `FILES` of a format, without notes.

    Args:
      model: the network, in any precision.
      folder: exists.
      card: of the model.
      format: a key of `FILES`.
      quantise: of `vocabulary.QUANTISED`; None is float32.
      faces: u8[n, h, w, 3] for calibration.
    """
    from ran_tf.exports import onnx_file, quantised, tflite_file

    classifier, folder = PortableClassifier(model, card), pathlib.Path(folder)
    inputs = None if faces is None else quantised.inputs_of(faces, classifier=classifier)

    def prepare(converter) -> None:
        if quantise is not None:
            quantised.quantise_converter(converter, kind=quantise, inputs=inputs)

    if format == "tflite":
        path = folder / FILES["tflite"]["images"]
        tflite_file.write(classifier, path, prepare=prepare)
        return
    for signature, name in FILES[format].items():
        onnx_file.write(classifier, folder / name, signature=signature)
        if quantise is not None:
            given = None if inputs is None else inputs[signature]
            quantised.quantise_onnx(folder / name, kind=quantise, inputs=given)


def add_notes(folder: str | os.PathLike, *, card: ModelCard, format: str) -> None:
    """Puts labels, card and boxes into the `FILES` of a format."""
    from ran_tf.exports import onnx_file, tflite_file

    notes = {
        "labels.txt": "\n".join(card.labels) + "\n",
        onnx_session.CARD: card.to_json(),
        "boxes.json": json.dumps(kinds.serving_boxes(card.regions).tolist()),
    }
    add = tflite_file.add_notes if format == "tflite" else onnx_file.add_notes
    for name in dict.fromkeys(FILES[format].values()):
        add(pathlib.Path(folder) / name, notes)


def load(path: str | os.PathLike, *, signature: str = "images", threads: int | None = None):
    """A file in its runtime, on the processor: a function of the one input to a dict of outputs.

    Args:
      path: of a file that `write_files` wrote.
      signature: of LiteRT's; one of ONNX has one.
      threads: None is the runtime's choice.
    """
    if pathlib.Path(path).suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        runner = interpreter.get_signature_runner(signature)
        (source,) = runner.get_input_details()
        return lambda array: runner(**{source: array})
    return onnx_session.caller(onnx_session.open_session(path, threads=threads))


def measure_cost(
    folder: str | os.PathLike, *, model, card: ModelCard, format: str, kind: str, faces
) -> Quantised:
    """What quantisation changed, of the worse signature.

    Args:
      folder, model, card, format: as of `compare_files`.
      kind: of `vocabulary.QUANTISED`.
      faces: `quantised.Faces` to compare on.

    Raises:
      RuntimeError: if it is so much that something is wrong.
    """
    from ran_tf.exports import quantised

    classifier = PortableClassifier(model, card)
    exact = check.plain_network(model.twin(dtype="float32"), card)
    run = {n: load(pathlib.Path(folder) / file, signature=n) for n, file in FILES[format].items()}
    said: dict[str, list] = {name: [] for name in ("before", *run)}
    for start in range(0, len(faces.images), _COMPARED):
        batch = faces.images[start : start + _COMPARED]
        said["before"].append(exact(batch)["label"])
        inputs = quantised.inputs_of(batch, classifier=classifier)
        for name, call in run.items():
            said[name].append(call(inputs[name])["label"])
    labels = {name: np.concatenate(parts) for name, parts in said.items()}
    costs = [
        quantised.compare_classes(labels["before"], labels[name], kind=kind, faces=faces)
        for name in run
    ]
    return max(costs, key=lambda cost: cost.changed)


def compare_files(
    folder: str | os.PathLike,
    *,
    model,
    card: ModelCard,
    format: str,
    faces: np.ndarray | None = None,
) -> float:
    """Largest absolute difference of an output between the network and the files in their runtime.

    Args:
      folder: with the files.
      model: the network, in any precision; it is compared with its twin in float32.
      card: of the model.
      format: a key of `FILES`.
      faces: u8[b, H, W, 3] to compare on; None is noise.

    Raises:
      RuntimeError: if it is more than rounding.
    """
    paths = {name: pathlib.Path(folder) / file for name, file in FILES[format].items()}
    faces = check.example_faces() if faces is None else faces
    expected = check.model_outputs(model.twin(dtype="float32"), card, faces=faces)
    run = {name: load(path, signature=name) for name, path in paths.items()}
    shape = signatures.regions_shape(model, card)
    prepared = signatures.prepare_faces(tf.constant(faces), card=card).numpy()
    inputs = check.inputs_of(faces, card=card, shape=shape) | {"images": prepared}
    difference = max(check.largest_difference(run[name](inputs[name]), expected) for name in run)
    check.require(difference, allowed=check.allowed_in_float32(), path=paths["images"])
    resized = check.largest_difference(run["images"](faces), expected)
    check.require(resized, allowed=_RESIZED, path=paths["images"])
    return difference
