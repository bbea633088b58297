"""What is evaluated: a trained network or an export, behind one function."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf import export
from ran_tf.card import ModelCard
from ran_tf.models.ran import RegionAttentionNetwork

_SIGNATURE = "images"


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


def from_export(directory: str | os.PathLike, *, name: str) -> Classifier:
    """The newest SavedModel of an export; it makes its own regions.

    Args:
      directory: EXPORT_DIR or one version in it.
      name: what the report calls it.

    Raises:
      FileNotFoundError: if there is no SavedModel, or it is none of ours.
      ValueError: if it has no signature that takes faces.
    """
    version = export.find_version(directory)
    if version is None:
        raise FileNotFoundError(
            "an export must hold a SavedModel in a folder named by an integer; write one with "
            f"python -m ran_tf.launch.export. Received: directory={str(directory)!r}"
        )
    card = export.read_card(version)
    loaded = tf.saved_model.load(str(version))
    if _SIGNATURE not in loaded.signatures:
        raise ValueError(
            f"the SavedModel {version} must have a signature {_SIGNATURE!r} that takes u8 faces. "
            f"Received: signatures={sorted(loaded.signatures)}"
        )
    (argument,) = loaded.signatures[_SIGNATURE].structured_input_signature[1]

    def predict(batch):
        # Through `loaded`: a signature alone does not keep its variables alive.
        outputs = loaded.signatures[_SIGNATURE](**{argument: tf.convert_to_tensor(batch["image"])})
        return {key: outputs[key].numpy() for key in ("probabilities", "weights")}

    return Classifier(name=name, card=card, predict=predict)
