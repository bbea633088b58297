"""What is said of images as rows: dicts of text and numbers, for files, JSON and pipelines.

Nothing here imports a framework, so that workers of Beam, Spark and Ray may.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ran_tf.inference.prediction import Failure, FoundFace, Prediction
from ran_tf.regions.words import describe_region

NO_FACE = "no face was found"


def predict_rows(
    predictor: Any,
    images: Sequence[bytes | str | os.PathLike | np.ndarray],
    *,
    align: bool = False,
) -> list[list[dict]]:
    """Classifies images, such as the bytes of their files.

    Args:
      predictor: a `ran_tf.Predictor`.
      images: as a call of the predictor takes them.
      align: find all faces of each photo; else the images are face crops.

    Returns:
      For each image a list of rows, one a face: {"label", "probability", "heaviest_region",
      "probabilities", "weights", "boxes"}. A network that tells it adds "covered", the covered
      share of the face. `align` adds "face" (from 0, the largest), "box" (y0, x0, y1, x1 in pixels)
      and "score". An image that cannot be used, or in which no face is found, has one row
      {"error"}.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> [[row]] = ran_tf.predict_rows(predictor, [b"no image"])
      >>> row["error"][:12]
      'not an image'
    """
    ask = predictor.faces if align else predictor
    answers = ask(images, on_error="return")
    return [answer_rows(answer, labels=predictor.labels) for answer in answers]


def answer_rows(
    answer: Prediction | list[FoundFace] | Failure, *, labels: Sequence[str]
) -> list[dict]:
    """The rows of one image, see `predict_rows`."""
    if isinstance(answer, Failure):
        return [{"error": answer.error}]
    if isinstance(answer, Prediction):
        return [_describe(answer, labels=labels)]
    rows: list[dict] = [
        {
            "face": i,
            **describe_face(face, labels=labels),
        }
        for i, face in enumerate(answer)
    ]
    return rows or [{"error": NO_FACE}]


def describe_face(face: FoundFace, *, labels: Sequence[str]) -> dict:
    """A face in a photo or frame: its row, without a number."""
    return {
        "box": [round(float(side), 1) for side in face.box],
        "score": round(float(face.score), 4),
        **_describe(face.prediction, labels=labels),
    }


def _describe(prediction: Prediction, *, labels: Sequence[str]) -> dict:
    """A prediction as JSON has it."""
    heaviest = int(prediction.weights.argmax())
    covered = {} if prediction.covered is None else {"covered": round(prediction.covered, 4)}
    return {
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        **covered,
        "heaviest_region": describe_region(prediction.boxes[heaviest]),
        "probabilities": by_label(prediction.probabilities, labels=labels),
        "weights": [round(float(w), 6) for w in prediction.weights],
        "boxes": [[round(float(side), 6) for side in box] for box in prediction.boxes],
    }


def by_label(probabilities: np.ndarray, *, labels: Sequence[str]) -> dict[str, float]:
    """Probabilities f32[n] by the name of their class."""
    numbers = (round(float(p), 6) for p in probabilities)
    return dict(zip(labels, numbers, strict=True))
