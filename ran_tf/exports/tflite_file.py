"""A network as a file of LiteRT (TensorFlow Lite): both signatures, weights once."""

import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from ran_tf.exports import freeze


def write(
    classifier,
    path: str | os.PathLike,
    *,
    prepare: Callable[[Any], None] = lambda converter: None,
) -> None:
    """Writes all signatures, float32, normalisation folded into convolutions.

    Args:
      classifier: a `portable.PortableClassifier`; axes without a size keep none.
      path: of the file.
      prepare: told of the converter before it converts, to quantise.
    """
    pathlib.Path(path).write_bytes(_convert(classifier, prepare))


def add_notes(path: str | os.PathLike, notes: Mapping[str, str]) -> None:
    """Puts associated files behind the network."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in notes.items():
            archive.writestr(name, text)


def _convert(classifier, prepare: Callable[[Any], None]) -> bytes:
    images, regions = (_freeze(classifier, name) for name in ("images", "regions"))
    module = tf.Module()
    # Functions of their own, so that the arguments have their names.
    module.images = tf.function(
        lambda images_: images(images_), input_signature=[classifier.specs["images"]]
    )
    module.regions = tf.function(
        lambda regions_: regions(regions_), input_signature=[classifier.specs["regions"]]
    )
    functions = {"images": module.images, "regions": module.regions}
    with tempfile.TemporaryDirectory() as folder:
        # Not from the functions themselves: inputs and outputs would lose their names.
        tf.saved_model.save(module, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        prepare(converter)
        return converter.convert()


def _freeze(classifier, name: str):
    return freeze.freeze(
        classifier.signature(name), classifier.specs[name], variables=classifier.model.variables
    )
