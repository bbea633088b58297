"""An export as one LiteRT (TensorFlow Lite) file, for phones and small boards.

Converting needs TensorFlow alone, running it the extra `export`. The labels, the model card and the
boxes are in the file as its "associated files": a zip archive behind the network, `unzip` lists it.
"""

import os
import pathlib
import tempfile
import zipfile

import tensorflow as tf

FILE = "model.tflite"
SIGNATURE = "regions"


def write(function, path: str | os.PathLike, *, notes: dict[str, str]) -> None:
    """Converts a function.

    Args:
      function: tf.function of constants with an input signature, such as `FaceClassifier.regions`;
        its axes without a size are resized by `load`, or `resize_tensor_input`.
      path: of the file.
      notes: become files of these names in it.
    """
    module = tf.Module()
    module.function = function
    with tempfile.TemporaryDirectory() as folder:
        # Not from the function itself: inputs and outputs would lose their names.
        tf.saved_model.save(module, folder, signatures={SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        pathlib.Path(path).write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in notes.items():
            archive.writestr(name, text)


def load(path: str | os.PathLike, *, threads: int | None = None):
    """The file in LiteRT: a function of the one input to a dict of outputs; any batch."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    runner = interpreter.get_signature_runner(SIGNATURE)
    (source,) = runner.get_input_details()
    return lambda array: runner(**{source: array})
