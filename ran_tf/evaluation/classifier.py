"""What is evaluated: a trained network or an export, behind one function."""

import dataclasses
import functools
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ran_tf import backend
from ran_tf.exports import export
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.weights import sources
from ran_tf.weights.card import ModelCard


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model that can be evaluated.

    Attributes:
      name: what the report calls it: its directory.
      card: what is needed to use it.
      predict: takes {"image" u8[b, H, W, 3], "boxes" f32[b, k, 4], "mask" bool[b, k]} and returns
        {"probabilities" f32[b, n], "weights" f32[b, k]} and, where the model tells,
        "mu" f32[b, k], as NumPy arrays.
    """

    name: str
    card: ModelCard
    predict: Callable[[dict], dict[str, np.ndarray]]


def from_network(model: RegionAttentionNetwork, card: ModelCard, *, name: str) -> Classifier:
    """A network with its weights, such as `training.records.load_workdir` returns."""

    if keras.backend.backend() != "tensorflow":
        return Classifier(name=name, card=card, predict=functools.partial(_predict, model, card))

    @tf.function(reduce_retracing=True)
    def forward(image, boxes, mask):
        # Evaluation batches have the right size already, but they keep their colour.
        faces = export.prepare_faces(image, card=card)
        outputs = model({"image": faces, "boxes": boxes, "mask": mask}, training=False)
        return {
            "probabilities": tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)),
            "weights": outputs["weights"],
            "mu": outputs["mu"],
        }

    def predict(batch):
        outputs = forward(batch["image"], batch["boxes"], batch["mask"])
        return {key: value.numpy() for key, value in outputs.items()}

    return Classifier(name=name, card=card, predict=predict)


def _predict(model, card: ModelCard, batch: dict) -> dict[str, np.ndarray]:
    """On another backend than TensorFlow, which still prepares faces."""
    faces = np.asarray(export.prepare_faces(batch["image"], card=card))
    out = model.predict_on_batch({"image": faces, "boxes": batch["boxes"], "mask": batch["mask"]})
    odds = np.exp(out["logits"] - out["logits"].max(axis=-1, keepdims=True))
    return {
        "probabilities": odds / odds.sum(axis=-1, keepdims=True),
        "weights": out["weights"],
        "mu": out["mu"],
    }


def from_export(version: str | os.PathLike, *, name: str) -> Classifier:
    """A SavedModel that `export.write_export` wrote; it makes its own regions.

    Args:
      version: its folder, EXPORT_DIR/<version>.
      name: what the report calls it.

    Raises:
      FileNotFoundError: if it is none of ours.
    """
    card = export.read_card(version)
    loaded = export.load_saved_model(version)

    def predict(batch):
        # Through `loaded`: a signature alone does not keep its variables alive.
        outputs = loaded.signatures["images"](images=tf.convert_to_tensor(batch["image"]))
        return {key: outputs[key].numpy() for key in ("probabilities", "weights")}

    return Classifier(name=name, card=card, predict=predict)


def load(path: str | os.PathLike) -> Classifier:
    """A preset, an export or a training run, whichever `path` is; see `ran_tf.weights.sources`.

    Raises:
      FileNotFoundError: if it is none of them.
    """
    source = sources.resolve(path)
    if source.kind == "export" or keras.backend.backend() == "tensorflow":
        backend.require_tensorflow()
    if source.kind == "export":
        return from_export(source.path, name=str(path))
    trained = sources.load_trained(source)
    return from_network(trained.model, trained.card, name=str(path))
