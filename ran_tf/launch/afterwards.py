"""What the training command does with a run that is finished: evaluation and export."""

import importlib.util
import os
import pathlib
import subprocess
import sys

from absl import flags

from ran_tf.config import TrainConfig
from ran_tf.data import packed


def check(config: TrainConfig, values: flags.FlagValues) -> None:
    """Raises ValueError, before the first step, for what could not be done after the last."""
    if values.evaluate and packed.is_packed(config.data.data_dir):
        raise ValueError(
            "--evaluate reads a dataset that ran_tf.launch.prepare has built: train without it, "
            "then run ran_tf.launch.evaluate where there is one. "
            f"Received: --evaluate --data_dir={config.data.data_dir}, which holds packed faces"
        )
    if values.export and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            "--export needs TensorFlow: train without it, then run ran_tf.launch.export where it "
            "is installed. Received: --export"
        )
    if values.export and config.data.regions.follow_landmarks:
        raise ValueError(
            "--export cannot write a model with landmark regions, which differ from face to face: "
            "train without it, or with --regions=fixed. Received: --export --regions=landmarks"
        )


def finish(workdir: pathlib.Path, values: flags.FlagValues, *, strategy) -> None:
    """Evaluates and exports, if the flags ask for it; by all workers, of which the chief writes."""
    if strategy is None:
        _in_processes(workdir, values)
        return
    from ran_tf.launch import evaluate, export
    from ran_tf.training import workers

    if values.evaluate:
        evaluate.evaluate_workdir(
            workdir,
            out=workdir / "report",
            dataset=values.dataset,
            data_dir=values.data_dir,
            strategy=strategy,
        )
    export_dir = workdir / "export"
    if (
        values.export
        and workers.is_chief(strategy)
        and not export.is_exported(workdir, export_dir=export_dir)
    ):
        export.export_model(workdir, export_dir=export_dir)


def _in_processes(workdir: pathlib.Path, values: flags.FlagValues) -> None:
    """After training on JAX: Keras can evaluate and export on TensorFlow alone."""
    at = [f"--workdir={workdir}"]
    commands = {
        "evaluate": [*at, f"--out={workdir / 'report'}", f"--dataset={values.dataset}"],
        "export": [*at, f"--export_dir={workdir / 'export'}"],
    }
    if values.data_dir:
        commands["evaluate"].append(f"--data_dir={values.data_dir}")
    for name, arguments in commands.items():
        if values[name].value:
            if values["import"].value:
                arguments.append(f"--import={','.join(values['import'].value)}")
            done = subprocess.run(
                [sys.executable, "-m", f"ran_tf.launch.{name}", *arguments],
                env={**os.environ, "KERAS_BACKEND": "tensorflow"},
                check=False,
            )
            if done.returncode:
                sys.exit(done.returncode)
