"""From face crops, or photos, to named predictions, with an export or a training run."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ran_tf import config, export, sources
from ran_tf.faces import align as face_align
from ran_tf.faces import detect
from ran_tf.images import decode_image
from ran_tf.prediction import Prediction


class Predictor:
    """Classifies face crops.

    Args:
      name_or_dir: the name, file or URL of a preset, EXPORT_DIR (its newest version),
        EXPORT_DIR/<version>, or the work directory of a training run (its best epoch); see
        `ran_tf.sources`.
      align: the images are photos: the largest face of each is found, turned upright and cut out as
        the faces that the model was trained on. False: they are face crops.
      detector: that finds faces with `align=True`, see `ran_tf.faces.detect`; MTCNN brings its
        weights along.
      batch_size: faces that the model sees at once.

    Attributes:
      card: `ran_tf.config.ModelCard`.
      labels: class names, in the order of the probabilities.

    Raises:
      FileNotFoundError: if there is no such model.
      ValueError: for a model with landmark regions.
    """

    def __init__(
        self,
        name_or_dir: str | os.PathLike,
        align: bool = False,
        *,
        detector: str = "mtcnn",
        batch_size: int = 32,
    ):
        config.check_range("batch_size", batch_size, low=1)
        source = sources.resolve(name_or_dir)
        if source.kind == "export":
            self.card = export.read_card(source.path)
            # The signature lives only as long as what it was loaded with.
            self._loaded = tf.saved_model.load(str(source.path))
            self._classify = self._loaded.signatures["images"]
        else:
            trained = sources.load_trained(source)
            self.card = trained.card
            self._loaded = export.FaceClassifier(trained.model, trained.card)
            self._classify = self._loaded.images
        self._batch_size = batch_size
        self._detect = None
        if align:
            self._detect = detect.create_detector(detect.DetectorConfig(name=detector))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    def __call__(self, images: Sequence[np.ndarray | bytes] | np.ndarray) -> list[Prediction]:
        """Classifies faces.

        Args:
          images: u8[b, H, W, 3], or a sequence of u8[H, W, 3] of any sizes, RGB; an item may also
            be the bytes of an image file, see `ran_tf.images.decode_image`.

        Returns:
          One `Prediction` for each, in order.

        Raises:
          ValueError: naming the first item that is no such image, or has no face to align.
        """
        _check_sequence(images)
        predictions = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            names = [f"images[{start + i}]" for i in range(len(batch))]
            faces = [_to_array(image, name=name) for image, name in zip(batch, names, strict=True)]
            if self._detect is not None:
                faces = self._align(faces, names=names)
            # Each at the model's size, so that faces of all sizes share a batch.
            faces = [
                export.prepare_faces(tf.constant(face)[tf.newaxis], card=self.card)[0]
                for face in faces
            ]
            predictions += self._predict(tf.stack(faces))
        return predictions

    def _align(self, photos: list[np.ndarray], *, names: list[str]) -> list[np.ndarray]:
        """The largest face of each photo, upright: u8[s, s, 3]."""
        aligned = []
        for photo, faces, name in zip(photos, self._detect(photos), names, strict=True):
            if not faces:
                raise ValueError(
                    f"`{name}` shows no face that the detector finds; crops need align=False. "
                    f"Received: {name}.shape={photo.shape}"
                )
            face = detect.choose_face(faces, shape=photo.shape)
            square = face_align.align_face(
                photo,
                face.landmarks,
                size=max(8, *self.card.image_size),
                margin=self.card.crop_margin,
                drop=self.card.crop_drop,
            )
            aligned.append(square.image)
        return aligned

    def _predict(self, faces) -> list[Prediction]:
        out = {name: value.numpy() for name, value in self._classify(images=faces).items()}
        return [
            Prediction(
                label=self.labels[out["label"][i]],
                probabilities=out["probabilities"][i],
                weights=out["weights"][i],
                boxes=out["boxes"][i],
            )
            for i in range(len(faces))
        ]


def _to_array(image, *, name: str) -> np.ndarray:
    """An item as u8[H, W, 3]."""
    if isinstance(image, (bytes, bytearray)):
        try:
            image = decode_image(bytes(image))
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from error
    _check_image(image, name=name)
    return image


def _check_sequence(images) -> None:
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise ValueError(
            "`images` must be u8[b, H, W, 3] or a list of u8[H, W, 3]; for one face pass [image]. "
            f"Received: images.shape={images.shape}"
        )
    if isinstance(images, (str, bytes, os.PathLike)) or not hasattr(images, "__len__"):
        raise ValueError(
            "`images` must be a list or array of faces; files are read by ran_tf.images.read_image "
            f"or python -m ran_tf.launch.predict. Received: {type(images).__name__}"
        )


def _check_image(image, *, name: str) -> None:
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"`{name}` must be a NumPy array u8[H, W, 3] or the bytes of an image file. "
            f"Received: {type(image).__name__}"
        )
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"`{name}` must have shape [H, W, 3], RGB (repeat a grey channel three times). "
            f"Received: {name}.shape={image.shape}"
        )
    if image.dtype != np.uint8:
        raise ValueError(
            f"`{name}` must be uint8, values 0..255. Received: {name}.dtype={image.dtype}"
        )
