"""python -m ran_tf.launch.train --flagfile=launch/quickstart.flags [--workdir=DIR]

Trains a network; started again with the same workdir, it goes on where it stopped. A recipe may
ask for evaluation of the test split and an export at the end.
"""

import datetime
import json
import os
import pathlib
import platform

from absl import flags

from ran_tf import files
from ran_tf.launch import flags as launch_flags

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
_INIT = flags.DEFINE_string(
    "init_weights", None, "A work directory or .weights.h5 file to start from."
)
_EVALUATE = flags.DEFINE_bool("evaluate", False, "Afterwards evaluate the test split.")
_EXPORT = flags.DEFINE_bool("export", False, "Afterwards write a SavedModel.")
launch_flags.define_training_flags()


def main(_):
    config = launch_flags.train_config(flags.FLAGS)
    # Heavy imports wait until the flags are known to be good.
    from ran_tf.data import pipeline
    from ran_tf.launch import progress
    from ran_tf.training import loop

    workdir = pathlib.Path(_WORKDIR.value).expanduser()
    _write_run(workdir, dataset=pipeline.open_dataset(config.data).version)
    with progress.training_display() as hooks:
        best = loop.train(config, workdir, init_weights=_INIT.value, hooks=hooks)
    print(f"best epoch {best['epoch']}: validation accuracy {best['validation_accuracy']:.2%}")
    print(f"weights: {workdir / 'best.weights.h5'}")
    if _EVALUATE.value:
        from ran_tf.launch import evaluate

        evaluate.evaluate_workdir(workdir, out=workdir / "report", data_dir=flags.FLAGS.data_dir)
    if _EXPORT.value:
        from ran_tf.launch import export

        export.export_workdir(workdir, export_dir=workdir / "export")


def _write_run(workdir: pathlib.Path, *, dataset: str) -> None:
    """Notes what this run is made of; every start of the same run adds an entry."""
    from importlib import metadata

    import keras

    path = workdir / "run.json"
    starts = json.loads(path.read_text())["starts"] if path.exists() else []
    packages = ("ran_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a checkout that is not installed
            versions[package] = "not installed"
    starts.append(
        {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "flags": {
                flag.name: flag.value
                for module in (
                    launch_flags.__name__,
                    flags.FLAGS.find_module_defining_flag("workdir"),
                )
                for flag in flags.FLAGS.get_flags_for_module(module)
            },
            "dataset": dataset,
            "versions": versions,
            "python": platform.python_version(),
            "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
            "backend": keras.backend.backend(),
        }
    )
    files.write_text(path, json.dumps({"starts": starts}, indent=2))


if __name__ == "__main__":
    launch_flags.run(main)
