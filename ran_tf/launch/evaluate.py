"""python -m ran_tf.launch.evaluate --workdir=DIR|--model=EXPORT_DIR|PRESET --out=DIR

Evaluates a model on a split of its dataset, in one pass. Writes report.json, report.md and figures,
by subset of the faces. With --baseline it evaluates a second model on the same faces and compares.
If TF_CONFIG names several workers, run the same command on each of them. They share the faces.
"""

import os
import pathlib
from typing import Any

from absl import flags

from ran_tf.launch import cluster, terminal
from ran_tf.launch import command as launch_command
from ran_tf.safety import files


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.")
    flags.DEFINE_string("model", None, "A preset, or directory of an export or a run.")
    flags.mark_flags_as_mutual_exclusive(["workdir", "model"], required=True)
    flags.DEFINE_string("baseline", None, "A preset, run or export to compare with.")
    flags.DEFINE_string("split", "test", "TFDS split: test or validation.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the model when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_bool(
        "flip_average", False, "Average the probabilities of each face and its mirror image."
    )
    flags.DEFINE_integer("batch_size", 64, "Batch size, faces.", lower_bound=1)
    flags.DEFINE_string("out", None, "Directory of the report.", required=True)
    cluster.define_flags()


def evaluate(
    model: str | os.PathLike,
    *,
    out: str | os.PathLike,
    split: str = "test",
    strategy: Any = None,
    **options: Any,
) -> None:
    """`ran_tf.evaluate` with a bar; the chief writes the report to `out` and prints its table."""
    # Heavy imports wait until the flags are known to be good.
    import ran_tf
    from ran_tf.training.engine import is_writer

    writes = is_writer(strategy)
    out = pathlib.Path(out).expanduser()
    if writes:
        files.check_folder("out", out)
    screen = terminal.open_console(quiet=not writes)
    with terminal.faces_bars(screen) as on_faces:
        report = ran_tf.evaluate(model, split, strategy=strategy, on_faces=on_faces, **options)
    if writes:
        report.save(out)
        screen.print(report)
        terminal.say(f"report: {out / 'report.md'}")


def main() -> None:
    values = flags.FLAGS
    with cluster.worker() as strategy:
        evaluate(
            values.workdir or values.model,
            strategy=strategy,
            command=launch_command.invocation("evaluate"),
            **launch_command.chosen(
                *("baseline", "split", "dataset", "data_dir", "flip_average", "batch_size", "out")
            ),
        )


if __name__ == "__main__":
    launch_command.run(main, define_flags=define_flags)
