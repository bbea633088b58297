"""A trained network or an export on faces, behind one function: what predicts and is evaluated.

Two engines answer. "onnx" is ONNX Runtime, for files of ONNX and for presets of the designs that
the package has a graph of; "keras" is TensorFlow and Keras, for all but files of ONNX. Each is
imported where it is used.
"""

import os

from ran_tf import vocabulary
from ran_tf.checks import InvalidArgument, check_choice
from ran_tf.inference.classifier import Classifier
from ran_tf.weights import presets, sources


def load(path: str | os.PathLike, *, served: bool = False, engine: str = "auto") -> Classifier:
    """A preset, an export or a training run, whichever `path` is; see `ran_tf.weights.sources`.

    Args:
      path: of the model.
      served: a network computes as its export does: with the regions of its card, its weights
        frozen and its normalisation folded, which is faster.
      engine: with `served`, one of `vocabulary.ENGINES`; "auto" is "onnx" where that can be.

    Raises:
      FileNotFoundError: if it is none of them.
      InvalidArgument: for an engine that cannot run it.
      ValueError: with `served` for landmark regions.
    """
    check_choice("engine", engine, vocabulary.ENGINES)
    source = sources.resolve(path)
    if source.kind == "onnx" or (served and choose_engine(engine, source) == "onnx"):
        if engine == "keras":
            raise InvalidArgument(
                "engine", f"onnx or auto for {source.name}, which is an ONNX file", engine
            )
        from ran_tf.inference import onnx_engine

        return onnx_engine.load(source)
    from ran_tf.inference import keras_engine

    return keras_engine.load(source, served=served)


def choose_engine(engine: str, source: sources.Source) -> str:
    """The engine that a source runs on.

    Raises:
      InvalidArgument: if "onnx" is asked for and cannot run it.
    """
    if source.kind == "onnx":
        return "onnx"
    if source.kind == "preset" and engine != "keras":
        graph = presets.find_graph(source.path, presets.read_card(source.path))
        if graph is not None:
            return "onnx"
    if engine == "onnx":
        raise InvalidArgument(
            "engine",
            f"keras or auto for {source.name}. ONNX Runtime runs files of ran_tf.launch.export "
            "--format=onnx, and presets of the packaged designs",
            engine,
        )
    return "keras"
