"""A work directory, as `ran_tf.launch.train` makes one, of a run of `jax_train.py`.

    python benchmarks/jax_workdir.py --runs=DIR --name=ran --workdir=runs/ran

evaluate, export, make_preset and --init_weights then take it like any other.
"""

import argparse
import json
import pathlib

from ran_tf import files, specs
from ran_tf.card import ModelCard
from ran_tf.config import RegionConfig
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import records

# Arguments that every run leaves as they are.
_DEFAULTS = (
    "attention",
    "relation",
    "trunk",
    "split",
    "region_map",
    "preprocessing",
    "synchronized",
)


def make_workdir(runs: pathlib.Path, *, name: str, workdir: pathlib.Path) -> None:
    """Writes weights, card and metrics of one run.

    Raises:
      FileNotFoundError, KeyError: if there is no such run.
    """
    found = json.loads((runs / "runs.json").read_text())[name]
    run = found["run"]
    arguments = {
        "backbone": "mobilenet_v1",
        "num_classes": len(specs.LABELS["ferplus"]),
        "size": (run["size"],) * 2,
        "dropout": run["dropout"],
        "dtype": "mixed_bfloat16",
    }
    model = RegionAttentionNetwork(**arguments)
    model.load_weights(runs / f"{name}.weights.h5")
    margin, drop = specs.CROPS["ferplus"]
    card = ModelCard(
        dataset="ferplus/majority",
        labels=specs.LABELS["ferplus"],
        image_size=(48, 48),
        regions=RegionConfig(k=run["step"]["regions"]),
        model={**{name: model.get_config()[name] for name in _DEFAULTS}, **arguments},
        colour="grey",
        crop_margin=margin,
        crop_drop=drop,
    )
    workdir.mkdir(parents=True, exist_ok=True)
    metrics = {"epoch": run["epochs"], **{f"jax_{n}": v for n, v in found["measured"].items()}}
    records.save_best(workdir, model=model, card=card, metrics=metrics)
    files.write_text(workdir / "jax_run.json", json.dumps(found, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind in (("runs", pathlib.Path), ("name", str), ("workdir", pathlib.Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    make_workdir(arguments.runs, name=arguments.name, workdir=arguments.workdir)


if __name__ == "__main__":
    main()
