"""python -m ran_tf.launch.make_preset --workdir=DIR --preset_dir=DIR|FILE.zip [--report=FILE]

Packs the weights that a training run keeps as a preset: float16 weights, card, a known output and a
README. It is loaded again and compared on --split before it appears. To ship one with the package,
write it to ran_tf/presets/NAME; a zip file can be loaded from a path or as URL#sha256=HEX.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np
from absl import flags

from ran_tf import files, settings
from ran_tf.launch import command

# What a package may carry; zip files may be larger.
_MOST_BYTES = 15_000_000
# That the README is made of.
_REPORT_KEYS = ("dataset", "split", "labels", "flip_average", "model", "subsets")
# Arguments of a network in which an evaluation may differ from the run.
_HOW_IT_IS_COMPUTED = ("dtype", "synchronized", "portable")


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.", required=True)
    flags.DEFINE_string("preset_dir", None, "Folder or *.zip to write.", required=True)
    flags.DEFINE_bool("overwrite", False, "Replace what is there.")
    flags.DEFINE_string("split", "validation", "TFDS split on which rounding is measured.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the run when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("report", None, "report.json of the run, for the numbers in README.md.")
    flags.DEFINE_string("backbone_origin", None, "Whose weights training started from, and terms.")


def make_preset(
    workdir: str | os.PathLike,
    *,
    preset_dir: str | os.PathLike,
    overwrite: bool = False,
    split: str = "validation",
    dataset: str | None = None,
    data_dir: str | None = None,
    report: str | os.PathLike | None = None,
    backbone_origin: str | None = None,
) -> dict:
    """Packs a training run; see the flags.

    Returns:
      The contents of known_output.json.

    Raises:
      FileNotFoundError: if the run has no finished epoch, or the report is not there.
      FileExistsError: if `preset_dir` exists, unless `overwrite`.
      ValueError: if `preset_dir` cannot be written, the weights are too large, rounding changes the
        network too much, or the report is of another model.
    """
    from ran_tf.evaluation import model_card, rounding
    from ran_tf.models import presets
    from ran_tf.training import records

    target = pathlib.Path(preset_dir).expanduser()
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"`preset_dir` exists; see --overwrite. Received: preset_dir={str(preset_dir)!r}"
        )
    files.check_folder("preset_dir", target.parent)
    starts = records.read_starts(pathlib.Path(workdir).expanduser())
    trained = records.load_workdir(pathlib.Path(workdir).expanduser(), dtype="float32")
    numbers = _read_report(report, card=trained.card) if report else None
    batches = list(_batches(trained.card, dataset=dataset, data_dir=data_dir, split=split))
    model = {**trained.card.model, "synchronized": False, "dtype": "float32"}
    trained = dataclasses.replace(trained, card=dataclasses.replace(trained.card, model=model))
    packed = presets.pack_weights(trained.model)
    if target.suffix != ".zip" and len(packed) > _MOST_BYTES:
        raise ValueError(
            f"the weights of a packaged preset must have at most {_MOST_BYTES:,} bytes; write a "
            f".zip. Received: {len(packed):,} bytes"
        )
    made = {"weights_sha256": hashlib.sha256(packed).hexdigest(), "weights_bytes": len(packed)}
    with files.partial_folder(target.parent) as folder:
        (folder / presets.WEIGHTS).write_bytes(packed)
        (folder / presets.CARD).write_text(trained.card.to_json() + "\n", encoding="utf-8")
        known = folder / presets.KNOWN
        known.write_text(json.dumps(made), encoding="utf-8")  # loading asks for the checksum
        rounded = presets.load_preset(folder)
        made |= {"split": split, **vars(rounding.compare(trained, rounded, batches=batches))}
        made |= _known_output(rounded)
        known.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        text = model_card.render(
            preset_name(target),
            card=trained.card,
            made=made,
            starts=starts,
            report=numbers,
            backbone_origin=backbone_origin,
        )
        (folder / presets.README).write_text(text, encoding="utf-8")
        _publish(folder, target)
    return made


def preset_name(target: pathlib.Path) -> str:
    """Of what is written there; a name may have points, such as that of a version."""
    return target.name.removesuffix(".zip")


def _read_report(path: str | os.PathLike, *, card) -> dict:
    """A report of the model that `card` is of.

    Raises:
      ValueError: if it is no report, or of a network or regions that differ.
    """
    report = files.read_json(pathlib.Path(path).expanduser(), keys=_REPORT_KEYS)
    try:
        theirs = report["model"]["card"]
        there = {"regions": dict(theirs["regions"]), **theirs["model"]}
        classes = len(report["subsets"]["all"]["class_recall"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`report` must be a report.json of ran_tf.launch.evaluate. Received: "
            f"report={str(path)!r}: {type(error).__name__}: {error}"
        ) from error
    # By way of JSON, as the report went.
    ours = json.loads(card.to_json())
    here = {"regions": ours["regions"], **ours["model"]}
    differences = [
        f"{name} is {was!r} there and {now!r} in the run"
        for name, (was, now) in settings.differences(there, here).items()
        if name not in _HOW_IT_IS_COMPUTED
    ]
    if report["labels"] != ours["labels"] or classes != len(ours["labels"]):
        differences.append("its classes are others")
    if differences:
        raise ValueError(
            f"`report` must be of this run: {'; '.join(differences)}. "
            f"Received: report={str(path)!r}"
        )
    return report


def _batches(card, *, dataset: str | None, data_dir: str | None, split: str) -> Iterator[dict]:
    from ran_tf.data import pipeline, prepared

    config = pipeline.data_config_of(card, name=dataset, data_dir=data_dir)
    opened = prepared.open_dataset(config)
    batches = pipeline.eval_batches(config, opened, split=split, batch_size=64)
    return batches.as_numpy_iterator()


def _known_output(trained) -> dict:
    from ran_tf import export
    from ran_tf.models import presets

    outputs = export.FaceClassifier(trained.model, trained.card).images(presets.known_faces())
    return {
        name: np.round(outputs[name].numpy().astype(np.float64), 6).tolist()
        for name in ("probabilities", "weights")
    }


def _publish(folder: pathlib.Path, target: pathlib.Path) -> None:
    if target.suffix == ".zip":
        with files.atomic_path(target) as partial, zipfile.ZipFile(partial, "w") as archive:
            for path in sorted(folder.iterdir()):
                # Without the time of day, equal contents give equal checksums.
                archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
        return
    with files.partial_folder(target.parent) as old:
        if target.exists():
            os.rename(target, old / target.name)
        os.rename(folder, target)


def main() -> None:
    values = flags.FLAGS
    made = make_preset(
        values.workdir,
        preset_dir=values.preset_dir,
        overwrite=values.overwrite,
        split=values.split,
        dataset=values.dataset,
        data_dir=values.data_dir,
        report=values.report,
        backbone_origin=values.backbone_origin,
    )
    print(f"preset: {values.preset_dir}, weights of {made['weights_bytes'] / 1e6:.1f} MB")
    print(
        f"float16 changed the class of {made['changed']} of {made['count']} faces of "
        f"{made['split']}; accuracy {made['correct'] / made['count']:.2%}"
    )
    target = pathlib.Path(values.preset_dir).expanduser()
    if target.suffix == ".zip":
        print(f"sha256: {files.sha256(target)}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
