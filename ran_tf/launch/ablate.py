"""python -m ran_tf.launch.ablate --flagfile=RECIPE --epochs=1 --out=DIR [--rows=self,random]

Trains the rows of the paper's ablation table for a few epochs. All rows have the same faces, start,
augmentation and epochs. They differ in attention, loss and regions. The faces are a quarter of the
training split, unless the recipe or --train_split says otherwise. With --seeds=0,1,2 each row is
trained three times, because the accuracy of such short runs varies by points. Writes ablation.json
and ablation.md after every run. A run's work directory is OUT/ROW/seed-N. After a stop, the same
command continues: finished runs are kept.
"""

import pathlib

from absl import flags

from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags

_PART = "train[:25%]"


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("out", None, "Folder for the table and its runs.", required=True)
    flags.DEFINE_list("rows", None, "Names of the rows to train; all when absent.")
    flags.DEFINE_list("seeds", None, "Seeds of every row, such as 0,1,2; --seed when absent.")
    flags.DEFINE_string(
        "init_weights", None, "A preset, work directory or .weights.h5 file that rows start from."
    )
    # So that every recipe of `train` is one of this command.
    flags.DEFINE_string(
        "workdir", None, "Ignored; accepted because recipes set it. Runs are in --out."
    )
    flags.DEFINE_bool(
        "evaluate", False, "Ignored; accepted because recipes set it. No test split is evaluated."
    )
    flags.DEFINE_bool(
        "export", False, "Ignored; accepted because recipes set it. Nothing is exported."
    )
    launch_flags.define_training_flags()
    flags.FLAGS.set_default("train_split", _PART)


def main() -> None:
    values = flags.FLAGS
    config = launch_flags.train_config(values)
    seeds = command.numbers("seeds", kind=int)
    # Heavy imports wait until the flags are known to be good.
    import ran_tf
    from ran_tf.evaluation import ablation
    from ran_tf.launch import progress

    with progress.training_display() as hooks:
        ran_tf.ablate(
            config,
            seeds=seeds,
            hooks=hooks,
            command=command.invocation("ablate"),
            **command.chosen("out", "rows", "init_weights"),
        )
    terminal.say(f"table: {pathlib.Path(values.out).expanduser() / ablation.MARKDOWN}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, resumes=True)
