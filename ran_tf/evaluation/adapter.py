"""Models of others on our faces: the same trials, with a function in the place of a network."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ran_tf import checks, vocabulary
from ran_tf.config import RegionConfig
from ran_tf.inference.classifier import Classifier
from ran_tf.weights.card import ModelCard, check_labels


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A model of another project, for `ran_tf.evaluate` and `ran_tf.robustness`.

    Attributes:
      name: its name in reports.
      labels: the classes of its probabilities, in its order and in the words of the dataset. If
        the model says "happy", write FERPlus' "happiness". The model never predicts a class that
        is not here.
      predict: takes faces u8[b, h, w, 3], RGB, and returns probabilities f32[b, len(labels)].
      dataset: TFDS name of the faces on which it is evaluated.
      image_size: (height, width) of a face in pixels.

    Raises:
      InvalidArgument: for a class that the dataset does not have.
      ValueError: if `predict` returns something else.

    Example:
      >>> def always_happy(faces):
      ...     return np.tile([0.0, 1.0], (len(faces), 1))
      >>> model = ran_tf.Adapter("always happy", ("neutral", "happiness"), always_happy,
      ...     dataset="synthetic_faces")
      >>> report = ran_tf.evaluate(model, "test[:64]", baseline="face_faceres_ferplus")
      >>> report.subsets["all"].count
      64
    """

    name: str
    labels: Sequence[str]
    predict: Callable[[np.ndarray], np.ndarray]
    dataset: str
    image_size: tuple[int, int] = (48, 48)

    def __post_init__(self):
        check_labels("labels", tuple(self.labels))
        checks.check_size("image_size", self.image_size, low=2)
        for label in self.labels:
            checks.check_choice("labels", label, self._classes)

    @property
    def _classes(self) -> tuple[str, ...]:
        return vocabulary.LABELS.get(self.dataset.partition("/")[0], tuple(self.labels))

    def classifier(self) -> Classifier:
        """As a network's: the probabilities of all classes of the dataset, in its order."""
        classes = self._classes
        places = [classes.index(label) for label in self.labels]
        card = ModelCard(
            dataset=self.dataset,
            labels=classes,
            image_size=self.image_size,
            regions=RegionConfig(k=1),
            model={"backbone": self.name, "num_classes": len(classes)},
        )

        def predict(batch: dict) -> dict[str, np.ndarray]:
            faces = len(batch["image"])
            said = np.asarray(self.predict(batch["image"]), np.float32)
            if said.shape != (faces, len(places)):
                raise ValueError(
                    f"`predict` must return probabilities [{faces}, {len(places)}]. "
                    f"Received: shape {said.shape} of {self.name!r}"
                )
            probabilities = np.zeros((faces, len(classes)), np.float32)
            probabilities[:, places] = said
            return {"probabilities": probabilities, "weights": np.ones((faces, 1), np.float32)}

        return Classifier(name=self.name, card=card, predict=predict)
