"""python -m ran_tf.launch.ablate --flagfile=RECIPE --epochs=1 --out=DIR [--rows=self,random]

Trains the rows of the paper's ablation table equally and briefly: the same faces (a quarter of the
training split unless the recipe or --train_split says otherwise), start, augmentation and epochs;
attention, loss and regions differ. With --seeds=0,1,2 each row is trained so many times: runs this
short vary by points. Writes ablation.json and ablation.md after every run, whose work directory is
OUT/ROW/seed-N. Started again, it goes on: finished runs are kept.
"""

import dataclasses
import gc
import json
import pathlib
from typing import Any

from absl import flags

from ran_tf import settings
from ran_tf.config import TrainConfig
from ran_tf.launch import command as launch_command
from ran_tf.launch import flags as launch_flags
from ran_tf.launch import terminal
from ran_tf.safety import files

_PART = "train[:25%]"
_JSON, _MARKDOWN, _RUN = "ablation.json", "ablation.md", "ablation_run.json"


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("out", None, "Directory of the table and its runs.", required=True)
    flags.DEFINE_list("rows", None, "Only these rows, by name; all when absent.")
    flags.DEFINE_list("seeds", None, "Train every row with each of these; --seed when absent.")
    flags.DEFINE_string(
        "init_weights", None, "A preset, work directory or .weights.h5 file that rows start from."
    )
    # So that every recipe of `train` is one of this command.
    flags.DEFINE_string("workdir", None, "Not used: recipes set it; runs are in --out.")
    flags.DEFINE_bool("evaluate", False, "Not used: recipes set it; no test split is looked at.")
    flags.DEFINE_bool("export", False, "Not used: recipes set it; nothing is exported.")
    launch_flags.define_training_flags()
    # So that --help lists them.
    flags.adopt_module_key_flags(launch_flags)
    flags.FLAGS.set_default("train_split", _PART)


def ablate(
    config: TrainConfig,
    *,
    out: pathlib.Path,
    rows: list[str] | None = None,
    seeds: list[int] | None = None,
    init_weights: str | None = None,
    command: str,
) -> dict:
    """Trains what is not done, one seed of every row after another, and writes the table.

    Args:
      config: the run that rows change.
      out: directory of the table.
      rows: names of rows; all when None.
      seeds: what every row is trained with; that of `config` when None.
      init_weights: what every row starts from.
      command: what the table says was run.

    Returns:
      The contents of ablation.json: {"command", "dataset", "train_split", "train_faces",
      "validation_split", "validation_faces", "epochs", "init_weights", "keep", "rows": {name:
      {"group", "regions", "attention", "relation", "region_loss_weight", "margin", "accuracy" (mean
      over seeds), "deviation" (standard, over seeds; None of one), "seeds": {seed: {"accuracy",
      "accuracy_ci95", "epoch"}}}}}.

    Raises:
      ValueError: for unknown rows, a run in `out` of another configuration, or `out` that cannot be
        written.
    """
    import keras

    from ran_tf.data import prepare, prepared
    from ran_tf.evaluation import ablation_table
    from ran_tf.launch import progress
    from ran_tf.training import ablation, loop, workers

    files.check_folder("out", out)
    if not config.data.validation_split:
        raise ValueError(
            "`validation_split` must name the faces that rows are compared on. "
            "Received: validation_split=''"
        )
    prepare.prepare_if_drawn(config.data)
    dataset = prepared.open_dataset(config.data)
    splits = (config.data.train_split, config.data.validation_split)
    landmarks = all(map(dataset.has_landmarks, splits))
    chosen = ablation.choose(ablation.make_rows(config, landmarks=landmarks), rows)
    runs = [
        dataclasses.replace(row, config=dataclasses.replace(row.config, seed=seed))
        for seed in seeds or [config.seed]
        for row in chosen
    ]
    done = {_folder(run): _read_run(out, run, init_weights=init_weights) for run in runs}
    count = dataset.size(config.data.validation_split)
    strategy = workers.local_strategy()
    table = {
        "command": command,
        "dataset": dataset.full_name,
        "train_split": config.data.train_split,
        "train_faces": dataset.size(config.data.train_split),
        "validation_split": config.data.validation_split,
        "validation_faces": count,
        "epochs": config.epochs,
        "init_weights": init_weights,
        "keep": config.keep,
    }
    for run in runs:
        folder = _folder(run)
        if done[folder] is None:
            terminal.say(f"row {run.name}, seed {run.config.seed}")
            _write_run(out, run, numbers=None, init_weights=init_weights)
            with progress.training_display() as hooks:
                best = loop.train(
                    run.config,
                    out / folder,
                    strategy=strategy,
                    init_weights=init_weights,
                    hooks=hooks,
                ).metrics
            done[folder] = ablation_table.numbers(best, count=count)
            _write_run(out, run, numbers=done[folder], init_weights=init_weights)
            keras.backend.clear_session()
            gc.collect()
        finished: dict[str, Any] = {}
        for other in runs:
            if done[_folder(other)] is not None:
                finished.setdefault(other.name, {})[other.config.seed] = done[_folder(other)]
        table["rows"] = {
            row.name: ablation_table.summary(row, seeds=finished[row.name])
            for row in chosen
            if row.name in finished
        }
        files.write_text(out / _MARKDOWN, ablation_table.render(table))
        files.write_text(out / _JSON, json.dumps(table, indent=2) + "\n")
    return table


def _folder(run) -> pathlib.Path:
    return pathlib.Path(run.name, f"seed-{run.config.seed}")


def _fingerprint(run, *, init_weights: str | None) -> dict:
    return settings.fingerprint(run.config, init_weights=init_weights)


def _read_run(out: pathlib.Path, run, *, init_weights: str | None) -> dict | None:
    """The numbers of a finished run; None if it is still to be trained.

    Raises:
      ValueError: if it was another run.
    """
    path = out / _folder(run) / _RUN
    if not path.is_file():
        return None
    found = files.read_json(path, keys=("asked", "numbers"))
    differences = settings.differences(found["asked"], _fingerprint(run, init_weights=init_weights))
    if differences:
        raise ValueError(
            f"`out` holds the row {run.name} with other settings "
            f"({settings.describe(differences)}): give another folder, or delete it. "
            f"Received: out={str(out)!r}"
        )
    return found["numbers"]


def _write_run(out: pathlib.Path, run, *, numbers: dict | None, init_weights: str | None) -> None:
    """Before training, without numbers: a run that is cut off must not go on as another."""
    found = {"numbers": numbers, "asked": _fingerprint(run, init_weights=init_weights)}
    files.write_text(out / _folder(run) / _RUN, json.dumps(found, indent=2) + "\n")


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(
            f"`seeds` must be whole numbers with commas between. Received: {text!r}"
        ) from error


def main() -> None:
    values = flags.FLAGS
    config = launch_flags.train_config(values)
    out = pathlib.Path(values.out).expanduser()
    ablate(
        config,
        out=out,
        rows=values.rows,
        seeds=values.seeds and [_seed(text) for text in values.seeds],
        init_weights=values.init_weights,
        command=launch_command.invocation("ablate"),
    )
    terminal.say(f"table: {out / _MARKDOWN}")


if __name__ == "__main__":
    launch_command.run(main, define_flags=define_flags, resumes=True)
