"""A network with its card as a preset: float16 weights, card, a known output and a README."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ran_tf import settings
from ran_tf.checks import InvalidArgument
from ran_tf.evaluation import model_card, predictions, split
from ran_tf.evaluation.calibration import calibrate
from ran_tf.evaluation.results import Report
from ran_tf.inference import keras_engine
from ran_tf.inference.classifier import Classifier
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.regions.kinds import serving_boxes
from ran_tf.safety import files
from ran_tf.weights import preset_file, presets, records
from ran_tf.weights.average import average_weights, check_shares
from ran_tf.weights.card import ModelCard, card_for

# That the README is made of.
_REPORT_KEYS = ("dataset", "split", "labels", "flip_average", "model", "subsets")
# Arguments of a network in which an evaluation may differ from the run.
_HOW_IT_IS_COMPUTED = ("dtype", "synchronized", "portable")
# More than this is no rounding: weights out of range, or another network.
_MOST_CHANGED = 0.005
_MEAN_DIFFERENCE = 2e-3


def save_to_preset(
    model: RegionAttentionNetwork | str | os.PathLike,
    path: str | os.PathLike,
    *,
    data: Any = None,
    average: Sequence[str | os.PathLike] = (),
    shares: Sequence[float] | None = None,
    overwrite: bool = False,
    measure: Any = None,
    calibration: Any = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    report: Report | str | os.PathLike | None = None,
    backbone_origin: str | None = None,
) -> dict:
    """Writes a network as a preset. The folder appears complete or not at all.

    `ran_tf.from_preset`, `ran_tf.Predictor` and the commands take it by its path.

    Args:
      model: `RegionAttentionNetwork`, or the work directory of a training run.
      path: folder to write.
      data: dataset that it was trained on, see `ran_tf.load_dataset`; that of its card when None.
      average: presets or work directories whose weights are averaged with those of `model`, see
        `ran_tf.average_weights`.
      shares: in that mean, of `model` first; all the same when None.
      overwrite: replace what is there.
      measure: faces on which the rounding of the weights is measured, as `ran_tf.evaluate` takes
        them; not measured when None.
      calibration: held-out faces that the probabilities of the preset are fitted to
        (`ran_tf.calibrate`); not fitted when None. `model` itself does not change.
      dataset, data_dir: dataset and folder of a split expression in `measure` and `calibration`.
      report: for the README, the report of this network by `ran_tf.evaluate`, or its report.json.
      backbone_origin: for the README, the weights that training started from, and their terms.

    Returns:
      The contents of known_output.json.

    Raises:
      FileExistsError: if `path` exists, unless `overwrite`.
      FileNotFoundError: for a run without a finished epoch.
      ValueError: for a network without a card and no `data`, with landmark regions, or with weights
        that float16 cannot hold; if rounding changes it too much; for a report of another network,
        or a `path` that cannot be written.

    Example:
      >>> model = ran_tf.from_preset("ran_faceres_shared_ferplus")
      >>> known = ran_tf.save_to_preset(model, "mine")
      >>> ran_tf.from_preset("mine").card.labels[0]
      'neutral'
    """
    target = pathlib.Path(path).expanduser()
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"`path` exists; overwrite=True (--overwrite) replaces it. Received: path={str(path)!r}"
        )
    files.check_folder("path", target.parent)
    starts = []
    if isinstance(model, (str, os.PathLike)):
        workdir = pathlib.Path(model).expanduser()
        model = records.load_workdir(workdir, dtype="float32").model
        starts = records.read_starts(workdir)
    if average:
        shares = check_shares(shares, count=1 + len(average))
        model = average_weights([model, *average], shares=shares)
    elif shares is not None:
        raise InvalidArgument("shares", "None without `average`", shares)
    card = card_for(model, data)
    if calibration is not None:
        model = model.twin()
        model.card = card
        calibrate(model, calibration, dataset=dataset, data_dir=data_dir)
        card = model.card
    arguments = {**card.model, "synchronized": False, "dtype": "float32"}
    card = dataclasses.replace(card, model=arguments)
    numbers = None if report is None else _numbers(report, card=card)
    packed = presets.pack_weights(model, card)
    made = {"weights_sha256": hashlib.sha256(packed).hexdigest(), "weights_bytes": len(packed)}
    with files.partial_folder(target.parent) as folder:
        (folder / preset_file.WEIGHTS).write_bytes(packed)
        rounded = presets.load_preset(folder).model
        rounded = keras_engine.from_network(rounded, card, name=target.name)
        if measure is not None:
            exact = keras_engine.from_network(model, card, name=model.name)
            faces = split.open_faces(exact, measure, dataset=dataset, data_dir=data_dir)
            made |= {"split": faces.split, **_compare(exact, rounded, batches=faces.batches)}
        made |= _known_output(rounded)
        text = json.dumps(made, indent=2) + "\n"
        (folder / preset_file.KNOWN).write_text(text, encoding="utf-8")
        text = model_card.render(
            target.name,
            card=card,
            made=made,
            starts=starts,
            report=numbers,
            mean=_mean(average, shares=shares or [1.0]),
            backbone_origin=backbone_origin,
        )
        (folder / preset_file.README).write_text(text, encoding="utf-8")
        _publish(folder, target)
    return made


def _compare(exact: Classifier, rounded: Classifier, *, batches: Iterable) -> dict:
    """What rounding its weights does to a network's answers on evaluation batches.

    Returns:
      {"count", "changed": faces whose class differs, "mean_difference" of a probability, "correct":
      faces that the rounded network is right on}.

    Raises:
      ValueError: if they differ by more than rounding can explain.
    """
    before, after = (predictions.collect(one, batches) for one in (exact, rounded))
    found = {
        "count": len(before.id),
        "changed": int((before.predicted != after.predicted).sum()),
        "mean_difference": float(np.abs(before.probabilities - after.probabilities).mean()),
        "correct": int((after.predicted == after.label).sum()),
    }
    # One face more: a share of few faces would allow none.
    most = 1 + _MOST_CHANGED * found["count"]
    if found["changed"] > most or not found["mean_difference"] <= _MEAN_DIFFERENCE:
        raise ValueError(
            f"float16 must change the class of at most {most:.0f} faces and probabilities by at "
            f"most {_MEAN_DIFFERENCE} on average; nothing was written. Received: {found}"
        )
    return found


def _mean(average: Sequence[str | os.PathLike], *, shares: Sequence[float]) -> dict[str, float]:
    """Shares by source: those that are averaged with the weights of the run, whose key is ""."""
    names = ["", *(pathlib.PurePath(source).name for source in average)]
    mean: dict[str, float] = collections.defaultdict(float)  # two runs may have the same name
    for name, share in zip(names, shares, strict=True):
        mean[name] += share
    return dict(mean)


def _known_output(rounded: Classifier) -> dict:
    faces, boxes = presets.known_faces(), serving_boxes(rounded.card.regions)
    boxes = np.tile(boxes, (len(faces), 1, 1))
    said = rounded.predict({"image": faces, "boxes": boxes, "mask": np.ones(boxes.shape[:2], bool)})
    return {
        name: np.round(said[name].astype(np.float64), 6).tolist()
        for name in ("probabilities", "weights")
    }


def _numbers(report: Report | str | os.PathLike, *, card: ModelCard) -> dict:
    """The numbers of a report of the model that `card` is of.

    Raises:
      ValueError: if it is no report, or of a network or regions that differ.
    """
    if isinstance(report, Report):
        # By way of JSON, as a report.json went: tuples are lists.
        path, numbers = "a Report", json.loads(json.dumps(report.numbers))
    else:
        path, numbers = (
            report,
            files.read_json(pathlib.Path(report).expanduser(), keys=_REPORT_KEYS),
        )
    try:
        theirs = numbers["model"]["card"]
        there = settings.fingerprint({"regions": dict(theirs["regions"]), **theirs["model"]})
        classes = len(numbers["subsets"]["all"]["class_recall"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`report` must be a report.json of ran_tf.launch.evaluate. Received: "
            f"report={str(path)!r}: {type(error).__name__}: {error}"
        ) from error
    here = settings.fingerprint({"regions": card.regions, **card.model})
    differences = [
        f"{name} is {was!r} in the report and {now!r} in the run"
        for name, (was, now) in settings.differences(there, here).items()
        if name not in _HOW_IT_IS_COMPUTED
    ]
    if numbers["labels"] != list(card.labels) or classes != len(card.labels):
        differences.append("its classes differ")
    if differences:
        raise ValueError(
            f"`report` must be of this run: {'; '.join(differences)}. "
            f"Received: report={str(path)!r}"
        )
    return numbers


def _publish(folder: pathlib.Path, target: pathlib.Path) -> None:
    with files.partial_folder(target.parent) as old:
        if target.exists():
            os.rename(target, old / target.name)
        os.rename(folder, target)
