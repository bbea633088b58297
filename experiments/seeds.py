"""Models against baselines over several seeds: the mean difference, with an interval over faces.

    python experiments/seeds.py --model=runs/ran0,runs/ran1 --baseline=runs/face0,runs/face1 \\
        --data_dir=DATA --split=test --out=seeds.json

The n-th model and the n-th baseline are of one seed. Each network sees every face and its mirror
image. The score of a face is the share of seeds that are right on it; faces are resampled with both
their scores, so the interval holds for these seeds and says nothing of others.
"""

import argparse
import json
import pathlib

import numpy as np

from ran_tf import vocabulary
from ran_tf.evaluation import metrics, predictions
from ran_tf.evaluation.predictions import Predictions
from ran_tf.evaluation.split import open_faces
from ran_tf.inference import runner
from ran_tf.safety import files


def differences(models: list[Predictions], baselines: list[Predictions]) -> dict[str, dict]:
    """Model less baseline, fractions, by subset of `vocabulary.SUBSETS` with a face.

    Returns:
      {name: {"count", "accuracy", "accuracy_ci95": [low, high]}}.
    """
    first = models[0]

    def scores(several):
        right = [p.predicted == p.label for p in (m.in_order_of(first.id) for m in several)]
        return np.mean(right, axis=0)

    ours, theirs = scores(models), scores(baselines)

    def row(faces):
        found = metrics.paired_bootstrap(ours[faces], theirs[faces])
        return {
            "count": int(faces.sum()),
            "accuracy": found.mean,
            "accuracy_ci95": found.ci95,
        }

    subsets = {name: first.subset(name) for name in vocabulary.SUBSETS}
    return {name: row(faces) for name, faces in subsets.items() if faces.any()}


def predict(path: str, *, dataset: str | None, data_dir: str, split: str) -> Predictions:
    """What a model says of every face of a split, averaged with its mirror image."""
    loaded = runner.load(path)
    opened = open_faces(loaded, split, dataset=dataset, data_dir=data_dir)
    print(path, flush=True)
    return predictions.collect(loaded, opened.batches, flip_average=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="presets, exports or work directories")
    parser.add_argument("--baseline", required=True, help="as many, of the same seeds")
    parser.add_argument("--dataset", help="another than the one that they were trained on")
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    names = {name: getattr(arguments, name).split(",") for name in ("model", "baseline")}
    if len(names["model"]) != len(names["baseline"]):
        parser.error(f"--model and --baseline must name as many. Received: {names}")
    where = {name: getattr(arguments, name) for name in ("dataset", "data_dir", "split")}
    found = {name: [predict(path, **where) for path in paths] for name, paths in names.items()}
    result = {**names, "split": arguments.split}
    result["differences"] = differences(found["model"], found["baseline"])
    files.write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    for name, row in result["differences"].items():
        low, high = (100 * end for end in row["accuracy_ci95"])
        gap = 100 * row["accuracy"]
        print(f"{name:10} {row['count']:6,} faces {gap:+.2f} ({low:+.2f} to {high:+.2f})")


if __name__ == "__main__":
    main()
