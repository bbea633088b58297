"""What the training command does with a run that is finished: evaluation and export."""

import importlib.util
import os
import pathlib
import subprocess
import sys
from typing import Any

from absl import flags

from ran_tf.config import TrainConfig
from ran_tf.data import packed
from ran_tf.launch import command, evaluate, export


def check(config: TrainConfig, values: flags.FlagValues) -> None:
    """Raises ValueError, before the first step, for what could not be done after the last."""
    if values.evaluate and packed.is_packed(config.data.data_dir):
        raise ValueError(
            "--evaluate reads a dataset that ran_tf.launch.prepare has built: train without it, "
            "then run ran_tf.launch.evaluate where that dataset is. Received: --evaluate "
            f"--data_dir={config.data.data_dir}, which holds packed faces"
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


def finish(workdir: pathlib.Path, values: flags.FlagValues, *, strategy: Any) -> None:
    """Evaluates and exports, if the flags ask for it; by all workers, of which the chief writes.

    After training on JAX in new processes: Keras can do it on TensorFlow alone.
    """
    if values.evaluate:
        asked = {"out": workdir / "report", "dataset": values.dataset, "data_dir": values.data_dir}
        given = [f"--{name}={value}" for name, value in asked.items() if value is not None]
        given.insert(0, f"--workdir={workdir}")
        if strategy is None:
            _run("evaluate", given, values)
        else:
            said = command.invocation("evaluate", given)
            evaluate.evaluate(workdir, strategy=strategy, command=said, **asked)
    export_dir = workdir / "export"
    if not values.export:
        return
    if strategy is None:
        _run("export", [f"--workdir={workdir}", f"--export_dir={export_dir}"], values)
    else:
        from ran_tf.exports import export as exports
        from ran_tf.training import workers

        if workers.is_chief(strategy) and not exports.is_exported(workdir, export_dir):
            export.export(workdir, export_dir)


def _run(name: str, arguments: list[str], values: flags.FlagValues) -> None:
    if values["import"].value:
        arguments = [*arguments, f"--import={','.join(values['import'].value)}"]
    done = subprocess.run(
        [sys.executable, "-m", f"ran_tf.launch.{name}", *arguments],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)
