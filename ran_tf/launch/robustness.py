"""python -m ran_tf.launch.robustness --model=PRESET|EXPORT_DIR|WORKDIR [--baseline=...] --out=DIR

Measures accuracy under occluders and degradations, some of which training never shows. Writes
robustness.json, robustness.md and a plot. Each condition is one pass over the split, so --limit
saves time.
"""

import pathlib

from absl import flags

from ran_tf.launch import command, terminal
from ran_tf.safety import files


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("model", None, "A preset, export or run.", required=True)
    flags.DEFINE_string("baseline", None, "A preset, export or run to compare with.")
    flags.DEFINE_string("split", "validation", "TFDS split: validation or test.")
    flags.DEFINE_integer(
        "limit", None, "Number of faces of the split; all when absent.", lower_bound=1
    )
    flags.DEFINE_list("kinds", None, "Names of the conditions to try; all when absent.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the model when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_integer("batch_size", 64, "Batch size, faces.", lower_bound=1)
    flags.DEFINE_string("out", None, "Directory of the report.", required=True)


def main() -> None:
    values = flags.FLAGS
    files.check_folder("out", values.out)
    # Heavy imports wait until the flags are known to be good.
    import ran_tf

    screen = terminal.open_console()
    with terminal.faces_bars(screen) as on_faces:
        report = ran_tf.robustness(
            values.model,
            values.split,
            on_faces=on_faces,
            command=command.invocation("robustness"),
            **command.chosen("baseline", "limit", "kinds", "dataset", "data_dir", "batch_size"),
        )
    report.save(values.out)
    screen.print(report)
    terminal.say(f"report: {pathlib.Path(values.out).expanduser() / 'robustness.md'}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
