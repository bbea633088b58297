"""What the networks say about a face, covered or not."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from ran_tf.demo import occluder as occluders
from ran_tf.demo.photo import Face
from ran_tf.faces import detect
from ran_tf.inference import predictor as predictors
from ran_tf.inference.prediction import Prediction
from ran_tf.weights.card import ModelCard

# Shown beside another network, for what its regions bring.
WHOLE_FACE = "face_faceres_ferplus"


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """What the page needs loaded.

    Attributes:
      predictors: the network that is shown, then perhaps the whole-face baseline.
      find_faces: made by `ran_tf.faces.create_detector`.
    """

    predictors: tuple[predictors.Predictor, ...]
    find_faces: Callable

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        return tuple(predictor.card for predictor in self.predictors)


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """What is to be seen of one face.

    Attributes:
      view: u8[s, s, 3], RGB, the face with its occluder.
      labels: names of the n classes.
      prediction: of the network.
      baseline: of the whole-face network, None where there is none.
      covered: share of the face under the occluder, 0..1.
    """

    view: np.ndarray
    labels: tuple[str, ...]
    prediction: Prediction
    baseline: Prediction | None
    covered: float


def load_networks(
    model: str | os.PathLike,
    *,
    baseline: str | os.PathLike | None = None,
    detector: detect.DetectorConfig = detect.DEFAULT,
    engine: str = "auto",
) -> Networks:
    """Loads the networks and the detector.

    Args:
      model: any source that `ran_tf.Predictor` takes.
      baseline: another, of the same labels; "" for none. None takes the packaged whole-face network
        where its labels are those of `model` and `model` itself looks at regions.
      detector: how faces are searched; in the mirror and turned, too, where none is found.
      engine: see `ran_tf.Predictor`; that of a baseline is "auto".

    Raises:
      FileNotFoundError, ValueError: see `ran_tf.Predictor`.
      ValueError: for a baseline of other labels.
    """
    main = predictors.Predictor(model, engine=engine)
    loaded = [main]
    if baseline is None:
        if main.card.regions.k > 1:
            whole_face = predictors.Predictor(WHOLE_FACE)
            if whole_face.labels == main.labels:
                loaded.append(whole_face)
    elif str(baseline):
        loaded.append(predictors.Predictor(baseline))
        if loaded[1].labels != main.labels:
            raise ValueError(
                "`baseline` must have the labels of `model`, in the same order. "
                f"Received: baseline={str(baseline)!r} with {loaded[1].labels}, "
                f"model={str(model)!r} with {main.labels}"
            )
    find_faces = detect.create_detector(
        dataclasses.replace(detector, retry_mirrored=True, turned=True)
    )
    return Networks(predictors=tuple(loaded), find_faces=find_faces)


def explain(
    face: Face, *, networks: Networks, occluder: occluders.Occluder | None = None
) -> Explanation:
    """Asks every network about a face behind an occluder."""
    said = [
        predictor([occluders.cover(crop, occluder)])[0]
        for predictor, crop in zip(networks.predictors, face.crops, strict=True)
    ]
    return Explanation(
        view=occluders.cover(face.view, occluder),
        labels=networks.predictors[0].labels,
        prediction=said[0],
        baseline=said[1] if len(said) > 1 else None,
        covered=0.0 if occluder is None else occluder.area,
    )
