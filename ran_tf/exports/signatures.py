"""A network with all its card says, as TensorFlow functions of constants."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf.data import ops
from ran_tf.exports import decode, freeze
from ran_tf.images.preparing import luma
from ran_tf.regions import crop, kinds
from ran_tf.safety import files
from ran_tf.weights.card import ModelCard

# Images of a request that are decoded at once: the largest takes 300 MiB until it is resized.
_AT_ONCE = 2

SIGNATURES = ("serving_default", "images", "regions")


def load_saved_model(version_dir: str | os.PathLike):
    """A SavedModel; its signatures live only as long as it does."""
    with files.without_patterns(version_dir) as plain:
        return tf.saved_model.load(str(plain))


class FaceClassifier(tf.Module):
    """The signatures of an export, see `ran_tf.export`.

    Attributes:
      image_bytes: string[b] -> dict of outputs: `serving_default`.
      images: u8[b, H, W, 3] -> dict of outputs.
      regions: f32[b, k, h, w, 3] -> dict of outputs without `boxes`.
      regions_shape: (k, h, w, 3), see the function of this name.

    Raises:
      ValueError: for a card that does not fit the network, or with landmark regions.
    """

    def __init__(self, model, card: ModelCard):
        super().__init__(name="face_classifier")
        _check_labels(model, card)
        boxes = kinds.serving_boxes(card.regions)
        self.regions_shape = shape = regions_shape(model, card)
        regions_spec = tf.TensorSpec([None, *shape], tf.float32, name="regions")
        # Constants instead of variables: nothing of Keras enters the SavedModel. One for all
        # signatures, so that the weights are stored once.
        frozen = freeze.freeze(
            _make_classify_regions(model, boxes), regions_spec, variables=model.variables
        )

        def classify(faces):
            regions = cut_regions(faces, card=card, shape=shape)
            tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(faces)[0], 1, 1])
            return {**frozen(regions), "boxes": tiled}

        def face_of_bytes(item):
            pixels = decode.decode_bytes(item["bytes"], index=item["index"])
            return prepare_faces(pixels[tf.newaxis], card=card)[0]

        def classify_bytes(image_bytes):
            items = {
                "bytes": image_bytes,
                "index": tf.range(tf.size(image_bytes, out_type=tf.int64)),
            }
            spec = tf.TensorSpec([*card.image_size, 3], tf.uint8)
            faces = tf.map_fn(
                face_of_bytes, items, fn_output_signature=spec, parallel_iterations=_AT_ONCE
            )
            return classify(faces)

        # A function of its own, so that the argument has its name.
        self.regions = _trace(lambda regions: frozen(regions), regions_spec)
        self.images = _trace(
            lambda images: classify(prepare_faces(images, card=card)),
            tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"),
        )
        self.image_bytes = _trace(
            classify_bytes, tf.TensorSpec([None], tf.string, name="image_bytes")
        )

    def signatures(self) -> dict:
        """As `tf.saved_model.save` takes them, by the names of `SIGNATURES`."""
        functions = (self.image_bytes, self.images, self.regions)
        return dict(zip(SIGNATURES, functions, strict=True))


def _trace(function: Callable, spec: tf.TensorSpec) -> tf.function:
    """A graph function of one tensor.

    Not by way of AutoGraph: it rewrites what it meets, for seconds, and nothing here has Python's
    `if` or `for` on tensors.
    """
    return tf.function(function, input_signature=[spec], autograph=False)


def _make_classify_regions(model, boxes: np.ndarray):
    """The network behind the cutting of regions, with its variables."""

    def classify_regions(regions):
        tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(regions)[0], 1, 1])
        return outputs_of(model.classify_regions(regions, tiled, training=False))

    return classify_regions


def outputs_of(network_outputs: dict) -> dict:
    """What a signature says: probabilities f32[b, n], label i64[b], weights f32[b, k]."""
    logits = tf.cast(network_outputs["logits"], tf.float32)
    return {
        "probabilities": tf.nn.softmax(logits),
        "label": tf.argmax(logits, axis=-1, output_type=tf.int64),
        "weights": tf.cast(network_outputs["weights"], tf.float32),
    }


def regions_shape(model, card: ModelCard) -> tuple[int, int, int, int]:
    """(k, h, w, 3) of the signature `regions`.

    A shared trunk takes the whole face alone, k = 1: it cuts the others out of its feature map.
    """
    arguments = model.get_config()
    count = 1 if arguments["trunk"] == "shared" else card.regions.k
    return (count, *arguments["size"], 3)


def cut_regions(faces, *, card: ModelCard, shape: tuple[int, int, int, int]):
    """What the signature `regions` takes.

    Args:
      faces: u8[b, H, W, 3], from `prepare_faces`.
      card: of the model.
      shape: (k, h, w, 3) of the signature.

    Returns:
      f32[b, k, h, w, 3] in 0..255.
    """
    count, height, width, _ = shape
    boxes = kinds.serving_boxes(card.regions)[:count]
    tiled = tf.tile(tf.constant(boxes[np.newaxis]), [tf.shape(faces)[0], 1, 1])
    return crop.crop_regions(faces, tiled, size=(height, width))


def prepare_faces(images, *, card: ModelCard):
    """Faces of any size as the model was trained on them.

    Doing it twice changes nothing, so prepared faces may be sent to an export.

    Args:
      images: u8[b, H, W, 3], RGB.
      card: says the size, and whether colour is taken out.

    Returns:
      u8[b, h, w, 3].
    """
    if card.colour == "grey":
        grey = tf.floor(luma(*tf.unstack(tf.cast(images, tf.float32), axis=-1)))
        images = tf.cast(grey, tf.uint8)[..., tf.newaxis]
    return ops.to_face(images, size=card.image_size)


def _check_labels(model, card: ModelCard) -> None:
    classes = model.get_config()["num_classes"]
    if classes != len(card.labels):
        raise ValueError(
            f"`card.labels` must name the {classes} classes of the model. "
            f"Received: labels={card.labels}"
        )
