"""Files of ONNX and LiteRT in fewer bytes: weights in float16, or convolutions in int8.

float16 halves the file: weights are stored so and computed with in float32. int8 quarters it, and
is about twice as fast: weights by channel, activations by what they reach on faces for calibration
(static). Of ONNX the convolutions alone are quantised, which are nearly all of the work: attention
and the classifier stay exact.
"""

import dataclasses
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ran_tf.checks import InvalidArgument
from ran_tf.data.load import load_dataset
from ran_tf.exports import signatures
from ran_tf.images import decoding, photos
from ran_tf.images.preparing import prepare_face
from ran_tf.weights.card import ModelCard, Quantised

# More change nothing that was seen: the ranges of activations are known after fewer.
_MOST_FACES = 256
_BATCH = 16
# Of faces whose class another rounding may change; beyond it something is wrong.
_MOST_CHANGED = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Faces as the network sees them.

    Attributes:
      data: what they are, in a word.
      images: u8[n, h, w, 3].
      labels: i64[n]; None where they are not known.
    """

    data: str
    images: np.ndarray
    labels: np.ndarray | None = None

    def sample(self) -> "Faces":
        """Enough for calibration, spread evenly."""
        count = min(len(self.images), _MOST_FACES)
        at = np.arange(count) * len(self.images) // count
        return Faces(self.data, self.images[at], None if self.labels is None else self.labels[at])


def read_faces(
    argument: str, source: Any, *, card: ModelCard, data_dir: str | None = None
) -> Faces:
    """Faces for calibration or comparison.

    Args:
      argument: its name, for errors.
      source: a folder of face crops, a split expression of the dataset on the card, such as
        "train", or faces u8[n, H, W, 3].
      card: of the network.
      data_dir: where that dataset is prepared; TFDS' default when None.

    Raises:
      InvalidArgument: if there are no faces.
      FileNotFoundError, ValueError: for a dataset that is not prepared, or an image that is none.
    """
    labels = None
    if isinstance(source, np.ndarray):
        data, found = "faces", source
    elif pathlib.Path(source).expanduser().is_dir():
        files = photos.find_files(pathlib.Path(source).expanduser()).files
        data, found = "a folder", (decoding.read_image(path) for path in files)
    else:
        data = os.fspath(source)
        found, labels = _of_split(argument, data, card=card, data_dir=data_dir)
    grey = card.colour == "grey"
    faces = [prepare_face(face, size=card.image_size, grey=grey) for face in found]
    if not faces:
        raise InvalidArgument(argument, "a folder with images of faces, or a split", source)
    return Faces(data, np.stack(faces), labels)


def _of_split(argument: str, split: str, *, card: ModelCard, data_dir: str | None):
    """Faces and their labels."""
    data = load_dataset(
        card.dataset,
        data_dir=data_dir,
        image_size=card.image_size,
        num_regions=1,
        test_split=split,
    )
    if data.test is None:
        raise InvalidArgument(argument, f"a folder, or a split of {card.dataset}", split)
    batches = [(x["image"], y.argmax(axis=-1)) for x, y in data.test.as_numpy_iterator()]
    faces, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return faces, labels


def inputs_of(faces: np.ndarray, *, classifier) -> dict[str, np.ndarray]:
    """What each signature of a `portable.PortableClassifier` takes for prepared faces."""
    shape = tuple(classifier.specs["regions"].shape[1:])
    regions = signatures.cut_regions(tf.constant(faces), card=classifier.card, shape=shape)
    return {"images": faces, "regions": regions.numpy()}


def compare_classes(before: np.ndarray, after: np.ndarray, *, kind: str, faces: Faces) -> Quantised:
    """What a network said of faces, i64[n], and what a quantised file says of them.

    Raises:
      RuntimeError: if they differ on so many that something is wrong.
    """
    changed = int((before != after).sum())
    if changed > _MOST_CHANGED * len(before):
        raise RuntimeError(
            f"quantisation changes the class of {changed / len(before):.0%} of the faces "
            f"(allowed: {_MOST_CHANGED:.0%}); do not use this file. Received: {len(before):,} "
            f"faces of {faces.data}"
        )
    cost = Quantised(kind=kind, data=faces.data, faces=len(before), changed=changed)
    if faces.labels is None:
        return cost
    right, still = before == faces.labels, after == faces.labels
    return dataclasses.replace(
        cost,
        right_before=int(right.sum()),
        right_after=int(still.sum()),
        lost=int((right & ~still).sum()),
        won=int((still & ~right).sum()),
    )


def quantise_onnx(path: str | os.PathLike, *, kind: str, inputs: np.ndarray | None) -> None:
    """Quantises a file of ONNX in its place.

    Args:
      path: of the file, in float32.
      kind: of `vocabulary.QUANTISED`.
      inputs: what the file takes, of faces for calibration; float16 needs none.
    """
    import onnx

    path = pathlib.Path(path)
    if kind == "float16":
        model = onnx.load(path)
        _store_float16(model)
    else:
        with tempfile.TemporaryDirectory() as folder:
            small = pathlib.Path(folder) / "int8.onnx"
            _to_int8(path, small, inputs=inputs)
            model = onnx.load(small)
    onnx.save(model, path)


def _to_int8(source: pathlib.Path, target: pathlib.Path, *, inputs) -> None:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, name: str):
            starts = range(0, len(inputs), _BATCH)
            self._batches = iter([{name: inputs[i : i + _BATCH]} for i in starts])

        def get_next(self):
            return next(self._batches, None)

    import onnx

    (name,) = (value.name for value in onnx.load(source).graph.input)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises to fold first, which is done
    try:
        quantization.quantize_static(
            source,
            target,
            Reader(name),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    finally:
        logging.disable(before)


def _store_float16(model) -> None:
    """Stores weights in float16, each behind a cast that runtimes compute once."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, half = tensor.name, f"{tensor.name}/float16"
        value = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(value, name=half))
        cast = onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT)
        casts.append(cast)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def quantise_converter(converter, *, kind: str, inputs: Mapping[str, np.ndarray] | None) -> None:
    """Tells TensorFlow's converter to quantise.

    Args:
      converter: a `tf.lite.TFLiteConverter` of both signatures.
      kind: of `vocabulary.QUANTISED`.
      inputs: what each signature takes, of faces for calibration; float16 needs none.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
        return
    given = dict(inputs or {})

    def examples() -> Iterator[tuple[str, dict]]:
        for name, arrays in given.items():
            for array in arrays:
                yield name, {name: array[np.newaxis]}

    converter.representative_dataset = examples
