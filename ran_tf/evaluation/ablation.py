"""The paper's ablation table: every row trained equally and briefly, and compared."""

import dataclasses
import gc
import json
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ran_tf.config import TrainConfig
from ran_tf.data import prepare, prepared
from ran_tf.evaluation import ablation_rows, markdown, metrics
from ran_tf.safety import files
from ran_tf.safety.escaping import for_markdown
from ran_tf.training import loop, workers

JSON, MARKDOWN = "ablation.json", "ablation.md"


def ablate(
    config: TrainConfig,
    out: str | os.PathLike,
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    init_weights: str | None = None,
    hooks: loop.Hooks | None = None,
    command: str = "ran_tf.ablate",
) -> dict:
    """Trains the rows of the paper's ablation table, one seed of each after another.

    The same call continues after a stop: finished runs are kept. The table is written after each
    run.

    Args:
      config: the run that rows change.
      out: folder of ablation.json and ablation.md; the work directory of a run is ROW/seed-N there.
      rows: names of the rows to train; all when None.
      seeds: seeds of every row; that of `config` when None.
      init_weights: preset, work directory or .weights.h5 file that every row starts from.
      hooks: callbacks of each run, see `ran_tf.train`.
      command: command that the table names.

    Returns:
      The contents of ablation.json: {"command", "dataset", "train_split", "train_faces",
      "validation_split", "validation_faces", "epochs", "init_weights", "keep", "rows": {name:
      {"group", "regions", "attention", "relation", "region_loss_weight", "margin", "accuracy" (mean
      over seeds), "deviation" (standard, over seeds; None of one), "seeds": {seed: {"accuracy",
      "accuracy_ci95", "epoch"}}}}}.

    Raises:
      ValueError: for unknown rows, a run in `out` of another configuration, or `out` that cannot be
        written.

    Example:
      >>> config = ran_tf.TrainConfig(
      ...     data=ran_tf.DataConfig(train_split="train[:16]", validation_split="validation[:16]"),
      ...     model=ran_tf.ModelConfig(backbone="mobilenet_v1", size=(32, 32)),
      ...     epochs=1,
      ... )
      >>> table = ran_tf.ablate(config, "ablation", rows=["regions_1"], hooks=ran_tf.Hooks())
      >>> table["rows"]["regions_1"]["regions"]["k"]
      1
    """
    out = pathlib.Path(out).expanduser()
    files.check_folder("out", out)
    data = config.data
    if not data.validation_split:
        raise ValueError(
            "`validation_split` must name the faces that rows are compared on. "
            "Received: validation_split=''"
        )
    prepare.prepare_if_drawn(data)
    dataset = prepared.open_dataset(data)
    landmarks = all(map(dataset.has_landmarks, (data.train_split, data.validation_split)))
    chosen = ablation_rows.choose(ablation_rows.make_rows(config, landmarks=landmarks), rows)
    table: dict[str, Any] = {
        "command": command,
        "dataset": dataset.full_name,
        "train_split": data.train_split,
        "train_faces": dataset.size(data.train_split),
        "validation_split": data.validation_split,
        "validation_faces": dataset.size(data.validation_split),
        "epochs": config.epochs,
        "init_weights": init_weights,
        "keep": config.keep,
        "rows": {},
    }
    finished: dict[str, dict[int, dict]] = {row.name: {} for row in chosen}
    say = print if hooks is None else hooks.on_message
    for seed in seeds or [config.seed]:
        for row in chosen:
            say(f"row {row.name}, seed {seed}")
            run = loop.train(
                dataclasses.replace(row.config, seed=seed),
                out / row.name / f"seed-{seed}",
                strategy=workers.local_strategy(),
                init_weights=init_weights,
                hooks=hooks,
            )
            finished[row.name][seed] = _numbers(run.metrics, count=table["validation_faces"])
            table["rows"][row.name] = _summary(row, seeds=finished[row.name])
            files.write_text(out / MARKDOWN, render(table))
            files.write_text(out / JSON, json.dumps(table, indent=2) + "\n")
            keras.backend.clear_session()
            gc.collect()
    return table


def _numbers(best: dict, *, count: int) -> dict:
    """What is kept of a run, of its `TrainedRun.metrics` on `count` faces."""
    correct = round(best["validation_accuracy"] * count)
    return {
        "accuracy": correct / count,
        "accuracy_ci95": metrics.wilson_interval(correct, count),
        "epoch": best["epoch"],
    }


def _summary(row: ablation_rows.Row, *, seeds: Mapping[int, dict]) -> dict:
    """The entry of a row in ablation.json, of the `_numbers` of its runs by seed."""
    accuracies = [run["accuracy"] for run in seeds.values()]
    return {
        "group": row.group,
        "regions": dataclasses.asdict(row.config.data.regions),
        "attention": row.config.model.attention,
        "relation": row.config.model.relation,
        "region_loss_weight": row.config.objective.region_loss_weight,
        "margin": row.config.objective.margin,
        "accuracy": statistics.fmean(accuracies),
        "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "seeds": {str(seed): run for seed, run in seeds.items()},
    }


def render(table: dict) -> str:
    """ablation.md of the contents of ablation.json."""
    rows = [["row", "compares", "regions", "attention", "RB-loss", "mean %", "deviation", "seeds"]]
    for name, row in table["rows"].items():
        regions = row["regions"]
        text = "whole face" if regions["k"] == 1 else f"{regions['k']} {regions['kind']}"
        if regions["k"] > 1 and regions["kind"] == "fixed":
            text += f" ({regions['variant']})"
        seeds = (
            f"{seed}: {markdown.percent(found['accuracy'])} "
            f"({markdown.interval(found['accuracy_ci95'])})"
            for seed, found in row["seeds"].items()
        )
        rows.append(
            [
                name,
                row["group"],
                text,
                row["attention"] + (", relation" if row["relation"] else ", self only"),
                f"margin {row['margin']:g}" if row["region_loss_weight"] else "no",
                markdown.percent(row["accuracy"]),
                markdown.percent(row["deviation"]),
                "; ".join(seeds),
            ]
        )
    start = for_markdown(table["init_weights"] or "random weights")
    return markdown.document(
        "# Ablation",
        f"Dataset {markdown.code(table['dataset'])}. Every row is trained on "
        f"{markdown.code(table['train_split'])} ({table['train_faces']:,} faces) for "
        f"{table['epochs']} epoch(s) from {start}. Accuracies are those of the {table['keep']} "
        f"epoch on {markdown.code(table['validation_split'])} ({table['validation_faces']:,} "
        "faces), with Wilson intervals; mean and standard deviation are over the seeds. Short "
        "runs show which rows learn fast, not which end best.",
        markdown.table(rows),
        f"Command: {markdown.code(table['command'])}",
    )
