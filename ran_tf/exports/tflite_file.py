"""A network as a file of LiteRT (TensorFlow Lite): both signatures, weights once."""

import os
import pathlib
import tempfile
import zipfile
from collections.abc import Mapping

import tensorflow as tf

from ran_tf.exports import freeze


def write(classifier, path: str | os.PathLike, *, notes: Mapping[str, str] | None = None) -> None:
    """Writes all signatures, float32, normalisation folded into convolutions.

    Args:
      classifier: a `portable.PortableClassifier`; axes without a size keep none.
      path: of the file.
      notes: associated files by name.
    """
    path = pathlib.Path(path)
    path.write_bytes(_convert(classifier))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in (notes or {}).items():
            archive.writestr(name, text)


def _convert(classifier) -> bytes:
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
        return converter.convert()


def _freeze(classifier, name: str):
    function = tf.function(
        classifier.signature(name), input_signature=[classifier.specs[name]], autograph=False
    )
    return freeze.freeze(function)
