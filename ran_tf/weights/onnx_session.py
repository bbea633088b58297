"""Networks in ONNX Runtime, and the notes in their files; neither TensorFlow nor Keras is imported.

A file of ONNX is a program of few words: load those that you or people you trust have made.
"""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ran_tf.weights.card import ModelCard

CARD = "card.json"


def open_session(
    model: str | os.PathLike | bytes,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    threads: int | None = None,
    optimize: bool = True,
) -> Any:
    """A session on the processor.

    Args:
      model: a file of ONNX, or its bytes.
      weights: those that are not in it, by name.
      threads: None is one for each core.
      optimize: False opens it at once, and runs slower.

    Raises:
      ValueError: if it cannot be read, or the weights are others than it needs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    # Threads that wait by spinning take the processors from what else has work to do.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    given = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(v) for name, v in (weights or {}).items()
    }
    if given:
        options.add_external_initializers(list(given), list(given.values()))
    contents = model if isinstance(model, bytes) else pathlib.Path(model).read_bytes()
    try:
        return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of no kind but Exception
        what = "a network" if isinstance(model, bytes) else repr(str(model))
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"ONNX Runtime must be able to load {what}. Received: {said}") from error


def caller(session: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A session as a function of its one input to a dict of outputs."""
    (source,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return lambda array: dict(zip(names, session.run(names, {source.name: array}), strict=True))


def card_of(session: Any, *, source: str) -> ModelCard:
    """The card in the notes of a file.

    Raises:
      ValueError: if it has none, as files of other makers, or a damaged one.
    """
    notes = session.get_modelmeta().custom_metadata_map
    if CARD not in notes:
        raise ValueError(
            "a file of ONNX must be written by ran_tf.launch.export --format=onnx, which puts a "
            f"card into it. Received: {source!r}"
        )
    return ModelCard.from_json(notes[CARD], source=f"the card of {source!r}")


def read_card(path: str | os.PathLike) -> ModelCard:
    """The card of a file; errors as `card_of`."""
    return card_of(open_session(path, optimize=False), source=str(path))
