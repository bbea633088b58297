"""Accuracy on the validation split against minutes of training, for recipes of one or more runs.

    python experiments/minutes.py "One trunk=RUN1,RUN2" "Whole face=RUN1,RUN3" --out=minutes.png

Each run goes on where the one before it ended. Its minutes are those of its process, from its start
to the end of each epoch, validation included.
"""

import argparse
import csv
import datetime
import json
import pathlib

import tensorflow as tf
from matplotlib.figure import Figure

from ran_tf.weights import records


def read_run(workdir: pathlib.Path) -> list[tuple[float, float]]:
    """(minutes since its start, accuracy in percent) at the end of every epoch.

    Raises:
      ValueError: for a run that was resumed: nobody wrote down how long it rested.
    """
    starts = json.loads((workdir / records.RUN).read_text())["starts"]
    if len(starts) != 1:
        raise ValueError(f"{workdir} must have been run at one stretch. Received: {len(starts)}")
    began = datetime.datetime.fromisoformat(starts[0]["time"]).timestamp()
    (events,) = (workdir / "tensorboard").glob("*.v2")
    ended = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        if event.summary.value:
            ended[event.step] = (event.wall_time - began) / 60
    with (workdir / records.METRICS).open() as file:
        accuracy = {int(row["epoch"]): row["validation_accuracy"] for row in csv.DictReader(file)}
    return [(ended[epoch], 100 * float(accuracy[epoch])) for epoch in sorted(ended)]


def read_recipe(workdirs: list[str]) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for workdir in workdirs:
        begins = points[-1][0] if points else 0.0
        points += [(begins + m, accuracy) for m, accuracy in read_run(pathlib.Path(workdir))]
    return points


def draw(recipes: dict[str, list[tuple[float, float]]]) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in recipes.items():
        minutes, accuracy = zip(*points, strict=True)
        axes.plot(minutes, accuracy, marker="o", markersize=3, label=name)
    axes.set(xlabel="minutes of training", ylabel="accuracy on the validation split, %")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+", metavar="NAME=RUN[,RUN...]")
    parser.add_argument("--out", required=True, metavar="FILE.png")
    args = parser.parse_args()
    named = dict(recipe.split("=", 1) for recipe in args.recipes)
    recipes = {name: read_recipe(runs.split(",")) for name, runs in named.items()}
    for name, points in recipes.items():
        print(f"{name}: " + ", ".join(f"{m:.1f} min {a:.2f}" for m, a in points))
    draw(recipes).savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
