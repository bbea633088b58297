"""Teaches a card to read the covered share of a face from a network's region weights.

Only networks that look away from what is covered can be read: see docs/looks_away.md.
"""

from collections.abc import Iterable

import numpy as np
from keras import ops

from ran_tf.augment import bank, cover, draws
from ran_tf.evaluation import metrics
from ran_tf.evaluation.robustness import corruptions, occluders
from ran_tf.inference.classifier import Classifier
from ran_tf.weights.covered_readout import CoveredReadout, log_weights

# Faces that are looked at, of which one in five is kept to try the readout on.
_MOST_FACES = 2500
_TRIED = 5
_DRAWINGS = 1024
_CHANCE = 0.75
# Of the squared deviations: with it, regions that say the same share what they say.
_RIDGE = 1e-3
# Covered by more is what a person would call covered.
_COVERED = 0.2
# A network that does not reach it has not learnt to look away, and is not read.
_LEAST_AUC = 0.9
# Fewer say nothing.
_FACES_A_REGION = 10


def fit_covered_readout(classifier: Classifier, batches: Iterable[dict]) -> CoveredReadout | None:
    """Fits a readout to held-out faces under the drawings of training.

    It is tried on every fifth face, which it was not fitted to, under occluders of kinds that
    training never shows (`occluders.KEPT_OUT`).

    Args:
      classifier: the network.
      batches: evaluation batches of faces that it was not trained on, see `data.pipeline`; the
        first 2,500 faces are looked at.

    Returns:
      The readout. None for a network of one region, for too few faces, and for a network whose
      weights do not tell: where the area under the curve is below 0.9.
    """
    k = classifier.card.regions.k
    if k == 1:
        return None
    drawings = bank.draw_bank(_DRAWINGS, seed=0).arrays()
    fitted, shares, clear, covered, start = [], [], [], [], 0
    for batch in batches:
        batch = {name: np.asarray(value) for name, value in batch.items()}
        positions = start + np.arange(len(batch["id"]))
        start += len(positions)
        tried = positions % _TRIED == 0
        # The last batch may be so small that it has faces of one sort alone.
        if not tried.all():
            drawn = _of(batch, ~tried)
            images = ops.convert_to_tensor(drawn["image"], "float32")
            draw = draws.make_draw(draws.face_keys(0, positions[~tried]))
            done = cover.cover(images, draw, bank=drawings, chance=_CHANCE)
            images = np.round(ops.convert_to_numpy(done["image"])).astype(np.uint8)
            fitted.append(_log_weights(classifier, {**drawn, "image": images}))
            shares.append(_share(ops.convert_to_numpy(done["opacity"])))
        if tried.any():
            faces = _of(batch, tried)
            images, ids = faces["image"], [str(i, "utf-8") for i in faces["id"]]
            clear.append(_log_weights(classifier, faces))
            for kind in occluders.KEPT_OUT:
                under = {**faces, "image": corruptions.corrupt(images, ids, kind=kind)}
                opacity = corruptions.opacity(images, ids, kind=kind)
                assert opacity is not None  # they all cover
                much = _share(opacity) > _COVERED
                covered.append(_log_weights(classifier, under)[much])
        if start >= _MOST_FACES:
            break
    if start < _FACES_A_REGION * k:
        return None
    bias, slopes = _ridge(np.concatenate(fitted), np.concatenate(shares))
    under, without = (np.concatenate(logs) @ slopes for logs in (covered, clear))
    auc = metrics.area_under_curve(under, without)
    if auc < _LEAST_AUC:
        return None
    return CoveredReadout(bias=bias, slopes=tuple(slopes.tolist()), auc=auc)


def _of(batch: dict, faces: np.ndarray) -> dict:
    return {name: value[faces] for name, value in batch.items()}


def _log_weights(classifier: Classifier, batch: dict) -> np.ndarray:
    return log_weights(classifier.predict(batch)["weights"])


def _share(opacity: np.ndarray) -> np.ndarray:
    """Of the whole face: f32[b]."""
    return opacity.mean(axis=(1, 2))


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The least squares of `bias + x @ slopes - y`, with slopes kept small."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = ((x - mean) / scale).astype(np.float64)
    gram = z.T @ z + _RIDGE * len(z) * np.eye(z.shape[1])
    slopes = np.linalg.solve(gram, z.T @ (y - y.mean())) / scale
    return float(y.mean() - mean @ slopes), slopes
