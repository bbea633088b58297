"""python -m ran_tf.launch.train --flagfile=launch/quickstart.flags [--workdir=DIR]

Trains a network; started again with the same workdir, it goes on where it stopped. SIGTERM and
Ctrl-C end it with a checkpoint (see `stop`). A recipe may ask for evaluation of the test split and
an export at the end. Where TF_CONFIG names several workers, the same command runs on each of them.
"""

import dataclasses
import datetime
import os
import pathlib
import platform
import signal
import subprocess
import sys
from importlib import metadata

from absl import flags

from ran_tf.checks import check_framing
from ran_tf.framing import Framing
from ran_tf.launch import cluster, command, stop
from ran_tf.launch import flags as launch_flags

_PACKAGES = ("ran_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
    flags.DEFINE_string(
        "init_weights", None, "A preset, work directory or .weights.h5 file to start from."
    )
    flags.DEFINE_float(
        "checkpoint_seconds", 300.0, "Between checkpoints inside an epoch.", lower_bound=0.0
    )
    flags.DEFINE_float(
        "crop_margin",
        None,
        "How the faces were cut out of photos, as --margin of align; for a dataset that says none.",
    )
    flags.DEFINE_float("crop_drop", None, "Likewise, as --drop of align.")
    flags.DEFINE_bool("evaluate", False, "Afterwards evaluate the test split.")
    flags.DEFINE_bool("export", False, "Afterwards write a SavedModel.")
    flags.DEFINE_integer(
        "restarts", 0, "How often to start again after a crash or a lost worker.", lower_bound=0
    )
    flags.DEFINE_enum(
        "backend", "tensorflow", ["tensorflow", "jax"], "Of Keras, which trains; jax: one process."
    )
    cluster.define_flags()
    launch_flags.define_training_flags()
    # So that --help lists them.
    flags.adopt_module_key_flags(launch_flags)


def main() -> None:
    values = flags.FLAGS
    config = launch_flags.train_config(values)
    # Keras reads it when it is imported. Heavy imports wait until the flags are known to be good.
    os.environ["KERAS_BACKEND"] = values.backend
    strategy = cluster.start(restarts=values.restarts, backend=values.backend)
    if strategy is None:
        _run(config, None)
        return
    from ran_tf.training import workers

    with workers.explain_loss(several=workers.count(strategy) > 1):
        _run(config, strategy)
        # Nobody leaves early: to the others that would look like a death.
        workers.wait_for_all(strategy)


def _run(config, strategy) -> None:
    from ran_tf.data import prepare, prepared
    from ran_tf.launch import progress
    from ran_tf.training import checkpoints, loop, records
    from ran_tf.training.engine import is_writer

    values = flags.FLAGS
    chief, turn = is_writer(strategy), None
    if strategy is not None:
        from ran_tf.training import workers

        turn = workers.chief_first(strategy)
    prepare.prepare_if_drawn(config.data, turn=turn)
    workdir = pathlib.Path(values.workdir).expanduser()
    dataset = prepared.open_dataset(config.data)
    if values.evaluate:
        _check_test_split(dataset, data=config.data)
    if values.export and config.data.regions.follow_landmarks:
        raise ValueError(
            "--export cannot write a model with landmark regions, which differ from face to face: "
            "train without it, or with --regions=fixed. Received: --export --regions=landmarks"
        )
    with progress.training_display() as display, stop.on_signals() as asked:
        # All workers know the same numbers; one shows them, and notes the run.
        hooks = dataclasses.replace(
            display,
            on_start=lambda: records.add_start(workdir, _describe_start(dataset=dataset.full_name)),
            stop=asked,
        )
        if not chief:
            hooks = loop.Hooks(stop=asked)
        try:
            best = loop.train(
                config,
                workdir,
                strategy=strategy,
                init_weights=values.init_weights,
                hooks=hooks,
                checkpoint_seconds=values.checkpoint_seconds,
                framing=framing_given(values),
            )
        except checkpoints.OtherRunError as error:
            raise error.renamed(launch_flags.flag_of) from error
        except loop.Stopped:
            if chief:
                print(
                    f"stopped with a checkpoint in {workdir}; run the same command again to go on"
                )
            # Perhaps it was another worker that was asked.
            sys.exit(stop.exit_code(asked() or signal.SIGTERM))
    if chief:
        accuracy = best.get("validation_accuracy")
        validated = "not validated" if accuracy is None else f"validation accuracy {accuracy:.2%}"
        print(f"{config.keep} epoch {best['epoch']}: {validated}")
        print(f"weights: {workdir / records.BEST_WEIGHTS}")
    if strategy is None:
        _finish_on_tensorflow(workdir)
        return
    from ran_tf.launch import evaluate, export

    if values.evaluate:
        evaluate.evaluate_workdir(
            workdir,
            out=workdir / "report",
            dataset=values.dataset,
            data_dir=values.data_dir,
            strategy=strategy,
        )
    if values.export and chief:
        export.export_model(workdir, export_dir=workdir / "export")


def _finish_on_tensorflow(workdir: pathlib.Path) -> None:
    """Evaluates and exports, which Keras can do on TensorFlow alone: in processes of their own."""
    values = flags.FLAGS
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


def framing_given(values: flags.FlagValues) -> Framing | None:
    """What the flags say of how faces were cut, if anything; ValueError if that cannot be."""
    if values.crop_margin is None and values.crop_drop is None:
        return None
    margin, drop = values.crop_margin or 0.0, values.crop_drop or 0.0
    check_framing(margin, drop, prefix="--crop_")
    return Framing(margin=margin, drop=drop)


def _check_test_split(dataset, *, data) -> None:
    if "test" not in dataset.builder.info.splits:
        raise ValueError(
            f"--evaluate reads the split 'test', which {dataset.name!r} does not have: train "
            "without it, then run ran_tf.launch.evaluate with --split=validation"
        )
    dataset.check_regions(data.regions, split="test")
    dataset.size(data.train_split, name="train_split")
    if shared := dataset.shared(data.train_split, "test"):
        raise ValueError(
            "--evaluate needs a test split that is not trained on. Received: "
            f"--train_split={data.train_split}, which has {shared:,} faces of it"
        )


def _describe_start(*, dataset: str) -> dict:
    """What this run is made of."""
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dataset": dataset,
        "init_weights": flags.FLAGS.init_weights,
        "flags": {f.name: f.value for f in flags.FLAGS.get_flags_for_module(launch_flags.__name__)},
        "versions": {package: _version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "not installed"


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
