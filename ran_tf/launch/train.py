"""python -m ran_tf.launch.train --flagfile=launch/quickstart.flags [--workdir=DIR]

Trains a network. The same command continues a run that was stopped. SIGTERM and Ctrl-C end a run
with a checkpoint. With --evaluate and --export, which a recipe may set, the command then evaluates
the test split and exports the network. If TF_CONFIG names several workers, run the same command on
each of them.
"""

import dataclasses
import pathlib
import signal
import sys

from absl import flags

from ran_tf.config import TrainConfig
from ran_tf.faces.framing import Framing
from ran_tf.launch import afterwards, cluster, command, stop, terminal
from ran_tf.launch import flags as launch_flags
from ran_tf.settings import fingerprint

_NO_RECIPE = (
    "no recipe was given: this trains ResNet-18 on regions of 224 pixels of drawn faces, about "
    "one face a second on a CPU. A recipe that takes minutes: --flagfile=launch/quickstart.flags"
)


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
    flags.DEFINE_string(
        "init_weights", None, "A preset, work directory or .weights.h5 file to start from."
    )
    flags.DEFINE_float(
        "checkpoint_seconds", 300.0, "Seconds between checkpoints inside an epoch.", lower_bound=0.0
    )
    flags.DEFINE_float(
        "crop_margin",
        None,
        "Margin with which the faces were cut out of photos (--margin of align), for a dataset "
        "that does not say.",
        lower_bound=-0.4,
        upper_bound=4.0,
    )
    flags.DEFINE_float(
        "crop_drop",
        None,
        "Drop with which the faces were cut out of photos (--drop of align), likewise.",
        lower_bound=-1.0,
        upper_bound=1.0,
    )
    flags.DEFINE_bool("evaluate", False, "Evaluate the test split at the end.")
    flags.DEFINE_bool("export", False, "Write a SavedModel at the end.")
    flags.DEFINE_integer(
        "restarts", 0, "Number of restarts after a crash or a lost worker.", lower_bound=0
    )
    flags.DEFINE_enum(
        "backend",
        "tensorflow",
        ["tensorflow", "jax"],
        "Backend of Keras that trains; jax runs in one process.",
    )
    cluster.define_flags()
    launch_flags.define_training_flags()


def main() -> None:
    values = flags.FLAGS
    config = launch_flags.train_config(values)
    framing = None
    if values.crop_margin is not None or values.crop_drop is not None:
        framing = Framing(margin=values.crop_margin or 0.0, drop=values.crop_drop or 0.0)
    # Heavy imports wait until the flags are known to be good.
    afterwards.check(config, values)
    with cluster.worker(restarts=values.restarts, backend=values.backend) as strategy:
        _train(config, strategy, framing=framing)
        afterwards.finish(pathlib.Path(values.workdir).expanduser(), values, strategy=strategy)


def _train(config: TrainConfig, strategy, *, framing: Framing | None) -> None:
    """`ran_tf.train`, with bars; ends the command where a signal asked to stop."""
    from ran_tf.launch import progress
    from ran_tf.training import checkpoints, loop
    from ran_tf.training.engine import is_writer

    chief, values = is_writer(strategy), flags.FLAGS
    if chief and fingerprint(config) == fingerprint(TrainConfig()):
        terminal.say(_NO_RECIPE)
    # All workers know the same numbers; one shows them.
    with progress.training_display(shown=chief) as display, stop.on_signals() as asked:
        try:
            run = loop.train(
                config,
                values.workdir,
                strategy=strategy,
                hooks=dataclasses.replace(display, stop=asked),
                framing=framing,
                tested=values.evaluate,
                **command.chosen("init_weights", "checkpoint_seconds"),
            )
        except checkpoints.OtherRunError as error:
            raise error.renamed(launch_flags.flag_of) from error
        except loop.Stopped:
            display.on_message(
                f"stopped with a checkpoint in {values.workdir}; run the same command again to "
                "go on"
            )
            # Perhaps it was another worker that was asked.
            sys.exit(stop.exit_code(asked() or signal.SIGTERM))
    if chief:
        progress.say_kept(run, keep=config.keep)


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, resumes=True)
