"""The report of an evaluation: the dictionary of report.json, and the folder it is written to."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np

from ran_tf import vocabulary
from ran_tf.evaluation import explain, markdown, metrics, plots
from ran_tf.evaluation.exposure import exposure
from ran_tf.evaluation.predictions import Predictions
from ran_tf.regions.kinds import region_names
from ran_tf.safety import files
from ran_tf.weights.card import ModelCard

JSON, MARKDOWN = "report.json", "report.md"
# From which share of the votes on.
_AGREEMENT = {
    1.0: "100 %",
    0.9: "90 to 100 %",
    0.8: "80 to 90 %",
    0.7: "70 to 80 %",
    0.6: "60 to 70 %",
    0.0: "below 60 %",
}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A model and what it said.

    Attributes:
      name: its directory.
      card: its card.
      predictions: of every face of the split.
    """

    name: str
    card: ModelCard
    predictions: Predictions


def build_report(
    model: Evaluated,
    *,
    baseline: Evaluated | None = None,
    dataset: str,
    split: str,
    flip_average: bool,
    command: str,
) -> dict:
    """Everything the report says, ready for JSON (fractions 0..1, None where there is no face).

    Args:
      model: the model.
      baseline: another model on the same faces, in any order.
      dataset: full name with version.
      split: name of the split.
      flip_average: whether probabilities are means over a face and its mirror image.
      command: what was run.

    Returns:
      {"dataset", "split", "labels", "flip_average", "command",
       "model": {"path", "card"},
       "subsets": {name of `vocabulary.SUBSETS`: {"count", "accuracy", "accuracy_ci95": [low, high],
         "mean_class_accuracy", "class_recall": [n], "ece", "nll", "confusion": [n][n]}},
       "occlusions": {name of `vocabulary.OCCLUSIONS`, and "unspecified" where some faces are:
         {"count", "accuracy", "accuracy_ci95", "exposure": see `evaluation.exposure`, None where
         the list does not tell the place}},
       "agreement": None where votes are not known, else {"ceiling": see
         `metrics.repeated_labels`, "shares": {"100 %", "90 to 100 %" and so on, the share of votes
         that the label has: {"count", "accuracy", "accuracy_ci95"}}},
       "regions": None for a whole-face model, else {"names": [k],
         "weights" and "mu": {the same names: [k] or None} (mu None for exports)},
       "explain": see `explain.explain`,
       with a baseline also "baseline": {"model", "subsets", "occlusions", "regions", "explain"},
       "disagreements": see `explain.disagreements`, and
       "differences": {subset: {"count", "accuracy", "accuracy_ci95", "only_model_right",
         "only_baseline_right"}}}.
      Rows of `confusion` are the truth; class means and recalls leave out absent classes;
      differences are model minus baseline, with a paired bootstrap interval.

    Raises:
      ValueError: if the baseline saw other faces or another truth.
    """
    report = {
        "dataset": dataset,
        "split": split,
        "labels": list(model.card.labels),
        "flip_average": flip_average,
        "command": command,
        **_numbers(model),
    }
    if baseline is not None:
        joined = baseline.predictions.in_order_of(model.predictions.id)
        other = np.flatnonzero(joined.label != model.predictions.label)
        if other.size:
            raise ValueError(
                "model and baseline must be evaluated on one dataset: their true labels differ. "
                f"Received: {other.size} faces, first id={str(joined.id[other[0]])!r}"
            )
        report["baseline"] = _numbers(dataclasses.replace(baseline, predictions=joined))
        report["disagreements"] = explain.disagreements(
            model.predictions, joined, labels=model.card.labels
        )
        report["differences"] = {
            name: _difference(model.predictions, joined, faces=model.predictions.subset(name))
            for name in vocabulary.SUBSETS
        }
    return report


def write_report(
    report: dict,
    out: str | os.PathLike,
    *,
    find_faces: Callable[[Sequence[str]], dict[str, np.ndarray]] | None = None,
) -> None:
    """Writes report.json, report.md and the PNGs it shows; each appears whole.

    report.json comes last: where it is new, everything is. PNGs of an earlier report that this one
    has no use for are removed.

    Args:
      report: from `build_report`.
      out: directory, made if absent.
      find_faces: gives faces u8[h, w, 3] by id, those of `report["disagreements"]`; without, they
        are not shown.
    """
    out = pathlib.Path(out).expanduser()
    makers = plots.makers(report, find_faces=find_faces)
    # Dollar signs in names of classes begin no formula.
    with matplotlib.rc_context({"text.parse_math": False}):
        figures = {name: make() for name, make in makers.items()}
        for name, figure in figures.items():
            with files.atomic_path(out / name) as partial:
                figure.savefig(partial, format="png", bbox_inches="tight", pad_inches=0.15)
    for name in plots.NAMES:
        if name not in figures:
            (out / name).unlink(missing_ok=True)
    files.write_text(out / MARKDOWN, markdown.render(report, figures=list(figures)))
    files.write_text(out / JSON, json.dumps(report, indent=2, allow_nan=False) + "\n")


def _numbers(model: Evaluated) -> dict:
    predictions = model.predictions
    kinds = _occlusion_kinds(predictions)
    k = predictions.weights.shape[1]
    regions = None
    if k > 1:
        regions = {
            "names": region_names(model.card.regions),
            "weights": {
                n: explain.mean_rows(predictions.weights, faces=f) for n, f in kinds.items()
            },
            "mu": None,
        }
        if predictions.mu is not None:
            regions["mu"] = {
                n: explain.mean_rows(predictions.mu, faces=f) for n, f in kinds.items()
            }
    return {
        "model": {"path": model.name, "card": dataclasses.asdict(model.card)},
        "subsets": {
            n: _subset(predictions, faces=predictions.subset(n)) for n in vocabulary.SUBSETS
        },
        "occlusions": {
            n: {**_accuracy(predictions, faces=f), "exposure": _exposure(predictions, faces=f)}
            for n, f in kinds.items()
        },
        "agreement": _agreement(predictions),
        "regions": regions,
        "explain": explain.explain(predictions, margin=model.card.loss_margin),
    }


def _occlusion_kinds(predictions: Predictions) -> dict[str, np.ndarray]:
    kinds = {name: predictions.occlusion == i for i, name in enumerate(vocabulary.OCCLUSION_KINDS)}
    return {n: faces for n, faces in kinds.items() if n in vocabulary.OCCLUSIONS or faces.any()}


def _exposure(predictions: Predictions, *, faces: np.ndarray) -> float | None:
    covered = predictions.covered
    return exposure(predictions.weights[faces], None if covered is None else covered[faces])


def _agreement(predictions: Predictions) -> dict | None:
    """Accuracy by how many of the annotators chose the label."""
    votes, label = predictions.votes, predictions.label
    known = None if votes is None else votes.sum(axis=1) > 0
    if votes is None or known is None or not known.any():
        return None
    share = np.zeros(len(votes))
    share[known] = votes[known, label[known]]
    # Shares are of ten votes or fewer, in float32.
    high = [np.inf, *(edge - 1e-4 for edge in _AGREEMENT)]
    parts = zip(_AGREEMENT.values(), high[:-1], high[1:], strict=True)
    return {
        "ceiling": metrics.repeated_labels(votes[known], label[known]),
        "shares": {
            name: _accuracy(predictions, faces=known & (share < above) & (share >= low))
            for name, above, low in parts
        },
    }


def _accuracy(predictions: Predictions, *, faces: np.ndarray) -> dict:
    right = predictions.predicted == predictions.label
    return metrics.proportion(right[faces], name="accuracy")


def _subset(predictions: Predictions, *, faces: np.ndarray) -> dict:
    label, probabilities = predictions.label[faces], predictions.probabilities[faces]
    num_classes = probabilities.shape[1]
    confusion = metrics.confusion_matrix(
        label, predictions.predicted[faces], num_classes=num_classes
    )
    some = len(label) > 0
    return {
        **_accuracy(predictions, faces=faces),
        "mean_class_accuracy": metrics.mean_class_accuracy(confusion) if some else None,
        "class_recall": [
            None if np.isnan(recall) else float(recall)
            for recall in metrics.class_recalls(confusion)
        ],
        "ece": metrics.expected_calibration_error(probabilities, label) if some else None,
        "nll": metrics.negative_log_likelihood(probabilities, label) if some else None,
        "confusion": confusion.tolist(),
    }


def _difference(model: Predictions, baseline: Predictions, *, faces: np.ndarray) -> dict:
    count = int(faces.sum())
    if count == 0:
        return {
            "count": 0,
            "accuracy": None,
            "accuracy_ci95": None,
            "only_model_right": 0,
            "only_baseline_right": 0,
        }
    return {
        "count": count,
        **paired_difference(
            (model.predicted == model.label)[faces], (baseline.predicted == baseline.label)[faces]
        ),
    }


def paired_difference(model: np.ndarray, baseline: np.ndarray) -> dict:
    """Model minus baseline, from which faces each got right: bool[b], the same faces."""
    found = metrics.paired_bootstrap(model, baseline)
    return {
        "accuracy": found.mean,
        "accuracy_ci95": found.ci95,
        "only_model_right": found.wins,
        "only_baseline_right": found.losses,
    }
