"""Networks on ONNX Runtime: files of ONNX, and presets with a graph of the package."""

import numpy as np

from ran_tf.inference.classifier import Classifier
from ran_tf.weights import onnx_session, preset_file, presets
from ran_tf.weights.sources import Source


def load(source: Source) -> Classifier:
    """A file of ONNX, or a preset.

    Raises:
      ValueError: if it cannot be read, is of another maker, or its weights are not those of the
        network on its card.
    """
    if source.kind == "onnx":
        session = onnx_session.open_session(source.path)
        card = onnx_session.card_of(session, source=source.name)
    else:
        card = presets.read_card(source.path)
        session = _open_preset(source, card)
    call = onnx_session.caller(session)

    def predict(batch):
        outputs = call(np.asarray(batch["image"]))
        return {key: outputs[key] for key in ("probabilities", "weights")}

    return Classifier(name=source.name, card=card, predict=predict, engine="onnx")


def _open_preset(source: Source, card):
    graph = presets.find_graph(source.path, card)
    assert graph is not None, "the runner chose"
    weights = preset_file.read_stored(source.path)
    try:
        return onnx_session.open_session(graph.read_bytes(), weights=weights)
    except ValueError as error:
        raise ValueError(
            "the weights of a preset must fit the network that its card describes. Received: "
            f"{source.name!r}: {error.__cause__ or error}"
        ) from error
