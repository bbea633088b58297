"""Networks on TensorFlow and Keras: presets, training runs and SavedModels."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ran_tf import backend
from ran_tf.exports import signatures
from ran_tf.inference.classifier import Classifier
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights import export_folder, sources
from ran_tf.weights.card import ModelCard

# Of each network its graph, and the variables that this reads; as long as there is the network.
_GRAPHS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def from_network(model: RegionAttentionNetwork, card: ModelCard, *, name: str) -> Classifier:
    """A network with its weights, such as `weights.records.load_workdir` returns."""
    if keras.backend.backend() != "tensorflow":
        return Classifier(name=name, card=card, predict=functools.partial(_predict, model, card))

    def predict(batch):
        # Evaluation batches have the right size already, but they keep their colour.
        faces = signatures.prepare_faces(batch["image"], card=card)
        outputs = _graph_of(model)(faces, batch["boxes"], batch["mask"])
        return {key: value.numpy() for key, value in outputs.items()}

    return Classifier(name=name, card=card, predict=predict)


def _graph_of(model: RegionAttentionNetwork) -> Callable:
    """A network as a graph, which is traced once however often the network is evaluated."""
    graph, variables = _GRAPHS.get(model, (None, ()))
    if graph is None or list(map(id, variables)) != list(map(id, model.variables)):
        graph = _make_graph(weakref.ref(model))  # else what is kept would keep the network
        _GRAPHS[model] = graph, model.variables
    return graph


def _make_graph(network: Callable[[], Any]) -> Callable:
    # AutoGraph rewrites what it meets, for seconds, and has nothing to do here.
    @tf.function(reduce_retracing=True, autograph=False)
    def graph(faces, boxes, mask):
        outputs = network()({"image": faces, "boxes": boxes, "mask": mask}, training=False)
        return {
            "probabilities": tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)),
            "weights": outputs["weights"],
            "mu": outputs["mu"],
        }

    return graph


def _predict(model, card: ModelCard, batch: dict) -> dict[str, np.ndarray]:
    """On another backend than TensorFlow, which still prepares faces."""
    faces = np.asarray(signatures.prepare_faces(batch["image"], card=card))
    out = model.predict_on_batch({"image": faces, "boxes": batch["boxes"], "mask": batch["mask"]})
    odds = np.exp(out["logits"] - out["logits"].max(axis=-1, keepdims=True))
    return {
        "probabilities": odds / odds.sum(axis=-1, keepdims=True),
        "weights": out["weights"],
        "mu": out["mu"],
    }


def _of_signature(name: str, card: ModelCard, images: Callable) -> Classifier:
    """What makes its own regions."""

    def predict(batch):
        outputs = images(tf.convert_to_tensor(batch["image"]))
        return {key: outputs[key].numpy() for key in ("probabilities", "weights")}

    return Classifier(name=name, card=card, predict=predict)


def load(source: sources.Source, *, served: bool = False) -> Classifier:
    """A preset, a SavedModel or a training run; arguments and errors as `runner.load`."""
    if served or source.kind == "export" or keras.backend.backend() == "tensorflow":
        backend.require_tensorflow()
    if source.kind == "export":
        card = export_folder.read_card(source.path)
        loaded = signatures.load_saved_model(source.path)
        # Through `loaded`: a signature alone does not keep its variables alive.
        return _of_signature(
            source.name, card, lambda faces: loaded.signatures["images"](images=faces)
        )
    trained = sources.load_trained(source)
    if not served:
        return from_network(trained.model, trained.card, name=source.name)
    frozen = signatures.FaceClassifier(trained.model, trained.card)
    return _of_signature(source.name, trained.card, frozen.images)
