"""python -m ran_tf.launch.make_preset --workdir=DIR --preset_dir=DIR [--report=FILE]

Packs the weights that a training run keeps as a preset: float16 weights, card, a known output and a
README. Before the preset appears, it is loaded again and compared on --split. Its file
model.safetensors can also be loaded by itself, as URL#sha256=HEX. To ship a preset with the
package, write it to ran_tf/presets/NAME. With --average, the weights are the mean of the run's and
those of other networks: of the one that the run started from, or of other runs from there.
"""

from absl import flags

from ran_tf.launch import command, terminal


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.", required=True)
    flags.DEFINE_string("preset_dir", None, "Folder to write.", required=True)
    flags.DEFINE_list(
        "average", [], "Presets or work directories whose weights are averaged with the run's."
    )
    flags.DEFINE_list(
        "shares",
        None,
        "Shares in that mean, of --workdir first, such as 0.7,0.3; all the same when absent.",
    )
    flags.DEFINE_bool("overwrite", False, "Replace what is there.")
    flags.DEFINE_string("split", "validation", "TFDS split on which rounding is measured.")
    flags.DEFINE_string(
        "calibration",
        None,
        "TFDS split on which the temperature of the probabilities is fitted, such as validation.",
    )
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the run when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("report", None, "report.json of the run, for the numbers in README.md.")
    flags.DEFINE_string(
        "backbone_origin",
        None,
        "For README.md: the weights that training started from, and their terms.",
    )


def main() -> None:
    values = flags.FLAGS
    options = command.chosen(
        "average", "overwrite", "calibration", "dataset", "data_dir", "report", "backbone_origin"
    )
    options["shares"] = command.numbers("shares")
    import ran_tf

    made = ran_tf.save_to_preset(values.workdir, values.preset_dir, measure=values.split, **options)
    terminal.say(f"preset: {values.preset_dir}, weights of {made['weights_bytes'] / 1e6:.1f} MB")
    terminal.say(
        f"float16 changed the class of {made['changed']} of {made['count']} faces of "
        f"{made['split']}; accuracy {made['correct'] / made['count']:.2%}"
    )
    terminal.say(f"sha256: {made['weights_sha256']}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
