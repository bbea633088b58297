"""Where a model looks: region weights of turned faces, attention, and quarrels with a baseline."""

from collections.abc import Iterable, Sequence

import numpy as np

from ran_tf import vocabulary
from ran_tf.evaluation import metrics
from ran_tf.evaluation.predictions import Predictions

# Faces on the contact sheet.
MOST_DISAGREEMENTS = 24

_BINS = 40


def explain(predictions: Predictions, *, margin: float) -> dict:
    """What a model with regions looked at, ready for JSON.

    Args:
      predictions: of the model.
      margin: by how much the region biased loss of its training wanted the best crop above the
        whole face, `ModelCard.loss_margin`.

    Returns:
      {"pose_weights": None for a whole-face model, else {"unturned", "pose_30", "pose_45": mean
         weights [k], or None without such a face},
       "mu": None for a whole-face model, for exports and where no face has another region, else
         {"margin",
         "whole_face", "best_crop", "difference": {"mean", "edges" [bins + 1], "faces" [bins]},
         "above_margin": {name of `vocabulary.SUBSETS`: {"count", "share", "share_ci95"}}}}.
      `best_crop` is the largest `mu` of the other regions of a face; `difference` is that less the
      whole face's; `above_margin` is how many faces have a difference of at least `margin`. Faces
      whose other regions are all masked are left out: the region biased loss is 0 there.
    """
    if predictions.weights.shape[1] == 1:
        return {"pose_weights": None, "mu": None}
    turned = {"pose_30": predictions.pose_30, "pose_45": predictions.pose_45}
    groups = {"unturned": ~(predictions.pose_30 | predictions.pose_45), **turned}
    return {
        "pose_weights": {n: mean_rows(predictions.weights, faces=f) for n, f in groups.items()},
        "mu": _attention(predictions, margin=margin),
    }


def disagreements(
    model: Predictions,
    baseline: Predictions,
    *,
    labels: Sequence[str],
    most: int = MOST_DISAGREEMENTS,
) -> list[dict]:
    """The faces on which two models differ most, ready for JSON.

    Args:
      model, baseline: of the same faces in the same order.
      labels: class names.
      most: how many faces.

    Returns:
      For each face {"id", "distance", "truth", "model" and "baseline": {"label", "probability"}},
      the largest distance first: total variation, half the sum of absolute differences of the
      probabilities, 0..1.
    """
    distance = np.abs(model.probabilities - baseline.probabilities).sum(axis=1) / 2
    order = np.argsort(-distance, kind="stable")[:most]

    def answer(predictions, i):
        said = int(predictions.predicted[i])
        return {"label": labels[said], "probability": float(predictions.probabilities[i, said])}

    return [
        {
            "id": str(model.id[i]),
            "distance": float(distance[i]),
            "truth": labels[model.label[i]],
            "model": answer(model, i),
            "baseline": answer(baseline, i),
        }
        for i in order
    ]


def find_images(batches: Iterable[dict], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Faces u8[h, w, 3] by id, from the batches of `data.pipeline.eval_batches`."""
    wanted, found = {name.encode() for name in ids}, {}
    for batch in batches if wanted else ():
        for i, name in enumerate(np.asarray(batch["id"])):
            if name in wanted:
                found[name.decode()] = np.asarray(batch["image"][i])
        if len(found) == len(wanted):
            break
    return found


def mean_rows(values: np.ndarray, *, faces: np.ndarray) -> list[float] | None:
    """The mean over some faces, bool[b], of values [b, k]; None if there is no such face."""
    return values[faces].mean(axis=0, dtype=np.float64).tolist() if faces.any() else None


def _attention(predictions: Predictions, *, margin: float) -> dict | None:
    if predictions.mu is None:
        return None
    # The weight of a masked region is exactly 0.
    cropped = (predictions.weights[:, 1:] > 0).any(axis=1)
    if not cropped.any():
        return None
    mu = predictions.mu[cropped].astype(np.float64)
    whole, crop = mu[:, 0], mu[:, 1:].max(axis=1)
    # One range for both, so that they can be drawn over each other.
    low, high = min(whole.min(), crop.min()), max(whole.max(), crop.max())
    above = crop - whole >= margin
    return {
        "margin": margin,
        "whole_face": _distribution(whole, low=low, high=high),
        "best_crop": _distribution(crop, low=low, high=high),
        "difference": _distribution(crop - whole),
        "above_margin": {
            name: metrics.proportion(above[predictions.subset(name)[cropped]], name="share")
            for name in vocabulary.SUBSETS
        },
    }


def _distribution(values, *, low: float | None = None, high: float | None = None) -> dict:
    low, high = (values.min() if low is None else low), (values.max() if high is None else high)
    faces, edges = np.histogram(values, bins=_BINS, range=(low, high))
    return {"mean": float(values.mean()), "edges": edges.tolist(), "faces": faces.tolist()}
