"""How much of a model's accuracy is left when faces are covered or spoilt: robustness.json.

Every face of the split goes through the model once for each condition of `corruptions`; what is
done to a face depends on its id alone, so two models see the same.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ran_tf.evaluation import exposure as exposures
from ran_tf.evaluation import metrics, predictions
from ran_tf.evaluation import report as reports
from ran_tf.evaluation.robustness import corruptions
from ran_tf.evaluation.robustness import looks as looking
from ran_tf.inference.classifier import Classifier
from ran_tf.weights.card import ModelCard

CLEAN = "clean"
# Name of a condition to the share of the face that is covered.
COVERED = {f"covered {share:.0%}": share for share in corruptions.SHARES}


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a model got right.

    Attributes:
      name: of the model.
      card: its card.
      ids: str[b].
      right: bool[b] by condition, `CLEAN` and others of `conditions`.
      exposure: by condition that covers faces, of a model with regions: the covered share of the
        regions under the model's weights over that under equal ones, each the mean over faces. 1:
        the weights do not care what is covered; below: they look away from it.
      looks: of a model with regions, at the first faces, as they are and covered.
    """

    name: str
    card: ModelCard
    ids: np.ndarray
    right: dict[str, np.ndarray]
    exposure: dict[str, float] = dataclasses.field(default_factory=dict)
    looks: list[looking.Look] = dataclasses.field(default_factory=list)


def conditions(kinds: Sequence[str] = tuple(corruptions.KINDS)) -> dict[str, str]:
    """Name of every condition to its group: clean, covered, or one of `corruptions.GROUPS`."""
    covered = dict.fromkeys(COVERED, "covered")
    return {CLEAN: CLEAN, **covered, **{kind: corruptions.KINDS[kind] for kind in kinds}}


def run(
    classifier: Classifier,
    batches: Iterable[dict],
    *,
    kinds: Sequence[str] = tuple(corruptions.KINDS),
    on_faces: Callable[[int], None] = lambda count: None,
) -> Trial:
    """Tries a model under every condition.

    Args:
      classifier: the model.
      batches: evaluation batches with their faces whole; kept in memory.
      kinds: of `corruptions.KINDS`.
      on_faces: told the number of faces of each finished batch of each condition.
    """
    batches = [{key: np.asarray(value) for key, value in batch.items()} for batch in batches]
    ids, right, exposed = np.empty(0, str), {}, {}
    for name in conditions(kinds):
        said = predictions.collect(
            classifier, (_change(batch, name) for batch in batches), on_faces=on_faces
        )
        ids, right[name] = said.id, said.predicted == said.label
        found = exposures.exposure(said.weights, said.covered)
        if found is not None:
            exposed[name] = found
    return Trial(
        name=classifier.name,
        card=classifier.card,
        ids=ids,
        right=right,
        exposure=exposed,
        looks=looking.find(classifier, batches[0], kinds=kinds) if batches else [],
    )


def build_report(
    model: Trial,
    *,
    baseline: Trial | None = None,
    dataset: str,
    split: str,
    command: str,
) -> dict:
    """Everything the report says, ready for JSON (fractions 0..1).

    Returns:
      {"dataset", "split", "command", "faces",
       "model": {"path", "card", "conditions": {name: {"group", "count", "accuracy",
         "accuracy_ci95", "loss", "exposure"}}, "means": {group: {"kinds", "accuracy", "loss",
         "exposure"}}},
       with a baseline also "baseline": the same, and "differences": {"conditions": {name:
         {"accuracy", "accuracy_ci95", "only_model_right", "only_baseline_right"}}, "means": {group:
         {"accuracy", "accuracy_ci95", "loss", "loss_ci95"}}}}.
      `exposure` is that of `Trial`, or None. `loss` is accuracy on clean faces minus accuracy under
      the condition. Groups of means are those of `corruptions` and "held_out", the mean over all
      kinds but those that training shows as they are here.
      Intervals of accuracies are Wilson's, of differences (model minus baseline) a paired
      bootstrap over faces.

    Raises:
      ValueError: if the baseline saw other faces.
    """
    report = {
        "dataset": dataset,
        "split": split,
        "command": command,
        "faces": len(model.ids),
        "model": _numbers(model),
    }
    if baseline is not None:
        if (
            not np.array_equal(model.ids, baseline.ids)
            or model.right.keys() != baseline.right.keys()
        ):
            raise ValueError(
                "model and baseline must be tested on the same faces and conditions. Received: "
                f"{len(model.ids)} and {len(baseline.ids)} faces, {len(model.right)} and "
                f"{len(baseline.right)} conditions"
            )
        report["baseline"] = _numbers(baseline)
        report["differences"] = {
            "conditions": {
                n: reports.paired_difference(right, baseline.right[n])
                for n, right in model.right.items()
            },
            "means": {
                group: _mean_difference(model, baseline, names=names)
                for group, names in _groups(model).items()
            },
        }
    return report


def _change(batch: dict, name: str) -> dict:
    """A batch under a condition, with "covered" where that covers something."""
    if name == CLEAN:
        return batch
    image, ids = batch["image"], [str(i, "utf-8") for i in batch["id"]]
    if name in COVERED:
        changed = corruptions.cover(image, ids, share=COVERED[name])
        opacity = corruptions.cover_opacity(image, ids, share=COVERED[name])
    else:
        changed = corruptions.corrupt(image, ids, kind=name)
        opacity = corruptions.opacity(image, ids, kind=name)
    covered = {} if opacity is None else {"covered": exposures.shares(opacity, batch)}
    return {**batch, "image": changed, **covered}


def _groups(trial: Trial) -> dict[str, list[str]]:
    """Names of the kinds of every group that has any."""
    tried = [name for name in trial.right if name in corruptions.KINDS]
    groups = {g: [n for n in tried if corruptions.KINDS[n] == g] for g in corruptions.GROUPS}
    groups["held_out"] = [n for n in tried if corruptions.KINDS[n] != "seen"]
    return {group: names for group, names in groups.items() if names}


def _numbers(trial: Trial) -> dict:
    clean = float(trial.right[CLEAN].mean())
    groups = conditions([n for n in trial.right if n in corruptions.KINDS])
    rows = {}
    for name, right in trial.right.items():
        rows[name] = {
            "group": groups[name],
            **metrics.proportion(right, name="accuracy"),
            "loss": clean - float(right.mean()),
            "exposure": trial.exposure.get(name),
        }
    means = {}
    for group, names in _groups(trial).items():
        accuracy = float(_mean(trial, names).mean())
        known = [trial.exposure[name] for name in names if name in trial.exposure]
        means[group] = {
            "kinds": len(names),
            "accuracy": accuracy,
            "loss": clean - accuracy,
            "exposure": float(np.mean(known)) if known else None,
        }
    return {
        "path": trial.name,
        "card": dataclasses.asdict(trial.card),
        "conditions": rows,
        "means": means,
    }


def _mean(trial: Trial, names: Sequence[str]) -> np.ndarray:
    """f64[b], the share of conditions under which each face is right."""
    return np.stack([trial.right[name] for name in names]).mean(axis=0, dtype=np.float64)


def _mean_difference(model: Trial, baseline: Trial, *, names: Sequence[str]) -> dict:
    ours, theirs = _mean(model, names), _mean(baseline, names)
    accuracy = metrics.paired_bootstrap(ours, theirs)
    loss = metrics.paired_bootstrap(model.right[CLEAN] - ours, baseline.right[CLEAN] - theirs)
    return {
        "accuracy": accuracy.mean,
        "accuracy_ci95": accuracy.ci95,
        "loss": loss.mean,
        "loss_ci95": loss.ci95,
    }
