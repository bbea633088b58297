"""What is evaluated: a trained network or an export, behind one function."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf.config import ModelCard
from ran_tf.models.ran import RegionAttentionNetwork

CARD = "card.json"
SIGNATURE = "images"

# ITU-R BT.601, as in every JPEG.
_LUMA = (0.299, 0.587, 0.114)


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
    """A network with its weights, such as `training.checkpoints.load_workdir` returns."""

    @tf.function(reduce_retracing=True)
    def forward(image, boxes, mask):
        if card.colour == "grey":
            grey = tf.tensordot(tf.cast(image, tf.float32), tf.constant(_LUMA), axes=1)
            image = tf.repeat(grey[..., tf.newaxis], 3, axis=-1)
        outputs = model({"image": image, "boxes": boxes, "mask": mask}, training=False)
        return {
            "probabilities": tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)),
            "weights": outputs["weights"],
            "mu": outputs["mu"],
        }

    def predict(batch):
        outputs = forward(batch["image"], batch["boxes"], batch["mask"])
        return {key: value.numpy() for key, value in outputs.items()}

    return Classifier(name=name, card=card, predict=predict)


def is_export(directory) -> bool:
    """Whether a directory looks like an export: SavedModels in folders named by integers."""
    return bool(_versions(directory))


def from_export(directory, *, name: str) -> Classifier:
    """The newest SavedModel under an export directory; it makes its own regions.

    Args:
      directory: holds `<integer>/saved_model.pb`, as TensorFlow Serving wants it.
      name: what the report calls it.

    Raises:
      FileNotFoundError: if there is no SavedModel, or no card.json in its assets.
      ValueError: if it has no signature that takes faces.
    """
    versions = _versions(directory)
    if not versions:
        raise FileNotFoundError(
            "an export must hold a SavedModel in a folder named by an integer; write one with "
            f"python -m ran_tf.launch.export. Received: directory={str(directory)!r}"
        )
    newest = versions[max(versions)]
    card_path = newest / "assets" / CARD
    if not card_path.exists():
        raise FileNotFoundError(
            f"{card_path} is missing: it names the labels and the size of a face. Export again "
            f"with python -m ran_tf.launch.export. Received: directory={str(directory)!r}"
        )
    loaded = tf.saved_model.load(str(newest))
    if SIGNATURE not in loaded.signatures:
        raise ValueError(
            f"the SavedModel {newest} must have a signature {SIGNATURE!r} that takes u8 faces. "
            f"Received: signatures={sorted(loaded.signatures)}"
        )
    signature = loaded.signatures[SIGNATURE]
    (argument,) = signature.structured_input_signature[1]

    def predict(batch):
        # The closure keeps `loaded`, and with it the variables, alive.
        outputs = loaded.signatures[SIGNATURE](**{argument: tf.convert_to_tensor(batch["image"])})
        return {key: outputs[key].numpy() for key in ("probabilities", "weights")}

    card = ModelCard.from_json(card_path.read_text(encoding="utf-8"))
    return Classifier(name=name, card=card, predict=predict)


def _versions(directory) -> dict[int, pathlib.Path]:
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        return {}
    return {
        int(folder.name): folder
        for folder in directory.iterdir()
        if folder.name.isdecimal() and (folder / "saved_model.pb").exists()
    }
