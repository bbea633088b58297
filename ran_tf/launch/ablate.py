"""python -m ran_tf.launch.ablate --flagfile=RECIPE --epochs=1 --out=DIR [--rows=self,random]

Trains the rows of the paper's ablation table equally and briefly: the same faces (a quarter of the
training split unless --train_split says otherwise), start, augmentation and epochs; attention,
loss and regions differ. Writes ablation.json and ablation.md after every row; each row's work
directory is OUT/ROW. Started again, it goes on: finished rows are kept.
"""

import dataclasses
import gc
import json
import pathlib
import shlex
import sys

from absl import flags

from ran_tf import files, metrics
from ran_tf.config import TrainConfig
from ran_tf.launch import command as launch_command
from ran_tf.launch import flags as launch_flags

_COMMAND = "python -m ran_tf.launch.ablate"
_PART = "train[:25%]"
_JSON, _MARKDOWN, _ROW = "ablation.json", "ablation.md", "row.json"


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("out", None, "Directory of the table and its runs.", required=True)
    flags.DEFINE_list("rows", None, "Only these rows, by name; all when absent.")
    flags.DEFINE_string(
        "init_weights", None, "A preset, work directory or .weights.h5 file that rows start from."
    )
    launch_flags.define_training_flags()
    flags.FLAGS.set_default("train_split", _PART)


def ablate(
    config: TrainConfig,
    *,
    out: pathlib.Path,
    rows: list[str] | None = None,
    init_weights: str | None = None,
    command: str,
) -> dict:
    """Trains rows that are not done, and writes the table.

    Args:
      config: the run that rows change.
      out: directory of the table.
      rows: names of rows; all when None.
      init_weights: what every row starts from.
      command: what the table says was run.

    Returns:
      The contents of ablation.json: {"command", "dataset", "train_split", "train_faces",
      "validation_split", "epochs", "init_weights", "rows": {name: {"group", "regions", "attention",
      "relation", "region_loss_weight", "margin", "count", "accuracy", "accuracy_ci95", "epoch"}}}.

    Raises:
      ValueError: for unknown rows, or a row in `out` of another configuration.
    """
    import keras
    import tensorflow as tf

    from ran_tf.data import pipeline
    from ran_tf.launch import progress
    from ran_tf.training import ablation, loop

    dataset = pipeline.open_dataset(config.data)
    chosen = ablation.choose(
        ablation.make_rows(config, landmarks=dataset.knows_landmarks(config.data.train_split)), rows
    )
    done = {row.name: _read_row(out, row, init_weights=init_weights) for row in chosen}
    # One strategy for all: the collective operations of a second would meet those of the first.
    strategy = tf.distribute.MirroredStrategy()
    table = {
        "command": command,
        "dataset": dataset.version,
        "train_split": config.data.train_split,
        "train_faces": dataset.size(config.data.train_split),
        "validation_split": config.data.validation_split,
        "epochs": config.epochs,
        "init_weights": init_weights,
    }
    for row in chosen:
        if done[row.name] is None:
            print(f"row {row.name}")
            _write_row(out, row, numbers=None, init_weights=init_weights)
            with progress.training_display() as hooks:
                best = loop.train(
                    row.config,
                    out / row.name,
                    strategy=strategy,
                    init_weights=init_weights,
                    hooks=hooks,
                )
            done[row.name] = _numbers(
                row, best=best, count=dataset.size(config.data.validation_split)
            )
            _write_row(out, row, numbers=done[row.name], init_weights=init_weights)
            keras.backend.clear_session()
            gc.collect()
        table["rows"] = {name: found for name, found in done.items() if found is not None}
        files.write_text(out / _MARKDOWN, _render(table))
        files.write_text(out / _JSON, json.dumps(table, indent=2) + "\n")
    return table


def _fingerprint(row, *, init_weights: str | None) -> dict:
    # By way of JSON, so that it equals what is read again; where the data lie changes nothing.
    asked = dataclasses.asdict(row.config)
    asked["data"].pop("data_dir")
    return json.loads(json.dumps({"config": asked, "init_weights": init_weights}))


def _read_row(out: pathlib.Path, row, *, init_weights: str | None) -> dict | None:
    """A finished row; None if it is still to be trained.

    Raises:
      ValueError: if it was another run.
    """
    path = out / row.name / _ROW
    if not path.is_file():
        return None
    found = files.read_json(path, keys=("asked", "row"))
    if found["asked"] != _fingerprint(row, init_weights=init_weights):
        raise ValueError(
            f"`out` holds the row {row.name} of another run: give another folder, or delete it. "
            f"Received: out={str(out)!r}"
        )
    return found["row"]


def _write_row(out: pathlib.Path, row, *, numbers: dict | None, init_weights: str | None) -> None:
    """Before training, without numbers: a run that is cut off must not go on as another."""
    found = {"row": numbers, "asked": _fingerprint(row, init_weights=init_weights)}
    files.write_text(out / row.name / _ROW, json.dumps(found, indent=2) + "\n")


def _numbers(row, *, best: dict, count: int) -> dict:
    correct = round(best["validation_accuracy"] * count)
    interval = metrics.wilson_interval(correct, count)
    return {
        "group": row.group,
        "regions": dataclasses.asdict(row.config.data.regions),
        "attention": row.config.model["attention"],
        "relation": row.config.model["relation"],
        "region_loss_weight": row.config.region_loss_weight,
        "margin": row.config.margin,
        "count": count,
        "accuracy": correct / count,
        "accuracy_ci95": [interval.low, interval.high],
        "epoch": best["epoch"],
    }


def _render(table: dict) -> str:
    from ran_tf.evaluation import markdown

    rows = [["row", "compares", "regions", "attention", "RB-loss", "faces", "accuracy %", "95 %"]]
    for name, row in table["rows"].items():
        regions = row["regions"]
        text = "whole face" if regions["k"] == 1 else f"{regions['k']} {regions['kind']}"
        if regions["k"] > 1 and regions["kind"] == "fixed":
            text += f" ({regions['variant']})"
        margin = f"margin {row['margin']:g}" if row["region_loss_weight"] else "no"
        rows.append(
            [
                name,
                row["group"],
                text,
                row["attention"] + (", relation" if row["relation"] else ", self only"),
                margin,
                f"{row['count']:,}",
                markdown.percent(row["accuracy"]),
                markdown.interval(row["accuracy_ci95"]),
            ]
        )
    return "\n".join(
        [
            "# Ablation",
            "",
            f"`{table['dataset']}`: every row trained on `{table['train_split']}` "
            f"({table['train_faces']:,} faces) for {table['epochs']} epoch(s) from "
            f"{table['init_weights'] or 'random weights'}; the best epoch on "
            f"`{table['validation_split']}`, Wilson intervals. Runs this short rank what learns "
            "fast, not what ends best.",
            "",
            *markdown.table(rows),
            "",
            f"Command: `{table['command']}`",
            "",
        ]
    )


def main() -> None:
    values = flags.FLAGS
    config = launch_flags.train_config(values)
    out = pathlib.Path(values.out).expanduser()
    ablate(
        config,
        out=out,
        rows=values.rows,
        init_weights=values.init_weights,
        command=f"{_COMMAND} {shlex.join(sys.argv[1:])}",
    )
    print(f"table: {out / _MARKDOWN}")


if __name__ == "__main__":
    launch_command.run(main, define_flags=define_flags)
