"""The table of an ablation: what each row is, and its accuracy over the seeds."""

import dataclasses
import statistics
from collections.abc import Mapping

from ran_tf.evaluation import markdown, metrics
from ran_tf.safety.escaping import for_markdown
from ran_tf.training import ablation


def numbers(best: dict, *, count: int) -> dict:
    """What is kept of a run: {"accuracy", "accuracy_ci95", "epoch"}.

    Args:
      best: `TrainedRun.metrics` of `training.loop.train`.
      count: faces of the validation split.
    """
    correct = round(best["validation_accuracy"] * count)
    return {
        "accuracy": correct / count,
        "accuracy_ci95": metrics.wilson_interval(correct, count).ends,
        "epoch": best["epoch"],
    }


def summary(row: ablation.Row, *, seeds: Mapping[int, dict]) -> dict:
    """The entry of a row in ablation.json, of the `numbers` of its runs by seed."""
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
        margin = f"margin {row['margin']:g}" if row["region_loss_weight"] else "no"
        rows.append(
            [
                name,
                row["group"],
                text,
                row["attention"] + (", relation" if row["relation"] else ", self only"),
                margin,
                markdown.percent(row["accuracy"]),
                "-" if row["deviation"] is None else markdown.percent(row["deviation"]),
                "; ".join(
                    f"{seed}: {markdown.percent(found['accuracy'])} "
                    f"({markdown.interval(found['accuracy_ci95'])})"
                    for seed, found in row["seeds"].items()
                ),
            ]
        )
    start = for_markdown(table["init_weights"] or "random weights")
    validation_split = markdown.code(table["validation_split"])
    return "\n".join(
        [
            "# Ablation",
            "",
            f"{markdown.code(table['dataset'])}: every row trained on "
            f"{markdown.code(table['train_split'])} "
            f"({table['train_faces']:,} faces) for {table['epochs']} epoch(s) from "
            f"{start}; the {table['keep']} epoch on "
            f"{validation_split} ({table['validation_faces']:,} faces), Wilson "
            "intervals; mean and standard deviation over the seeds. Runs this short rank what "
            "learns fast, not what ends best.",
            "",
            *markdown.table(rows),
            "",
            f"Command: {markdown.code(table['command'])}",
            "",
        ]
    )
