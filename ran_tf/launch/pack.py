"""python -m ran_tf.launch.pack --dataset=ferplus --out=FACES [--data_dir=DIR]

Writes a dataset that `prepare` has built to plain files. They are for a machine that has Keras and
JAX, but neither TensorFlow nor TFDS. There the command

    python -m ran_tf.launch.train --backend=jax --data_dir=FACES --flagfile=... --workdir=DIR

trains on the same faces in the same order. A run can continue on either machine.
"""

from absl import flags

import ran_tf
from ran_tf.launch import command, terminal


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("dataset", "ferplus", "A TFDS name, perhaps with a /config.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("out", None, "Folder to write.", required=True)
    flags.DEFINE_list("splits", [], "Splits to write; all when absent.")
    flags.DEFINE_integer(
        "image_size",
        None,
        "Side that faces are resized to, pixels; their own when absent.",
        lower_bound=1,
    )


def main() -> None:
    terminal.say(
        ran_tf.pack(**command.chosen("dataset", "out", "data_dir", "splits", "image_size"))
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
