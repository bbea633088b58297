"""python -m ran_tf.launch.prepare --dataset=ferplus --manual_dir=DIR [--data_dir=DIR]

Builds a dataset of `tfds_builders`, once. `--dataset=ferplus/votes` names one of its configs.
The README of each dataset says what `--manual_dir` must hold; `synthetic_faces` needs nothing. The
dataset remembers how `ran_tf.launch.align` cut the faces (framing.json in `--manual_dir`, or beside
the landmarks).

`--landmarks=FILE.csv` gives landmarks to a dataset that has none. Find them first:

    python -m ran_tf.launch.align --input_dir=ferplus --output_dir=ferplus_landmarks \\
        --landmarks_only --detector=mtcnn --pad=0.25 --min_face=0.5 --retry_mirrored
    python -m ran_tf.launch.prepare --dataset=ferplus --manual_dir=ferplus \\
        --landmarks=ferplus_landmarks/landmarks.csv
"""

from absl import flags

import ran_tf
import tfds_builders
from ran_tf.launch import command, terminal


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("dataset", "ferplus", f"One of {', '.join(tfds_builders.DATASETS)}.")
    flags.DEFINE_string("manual_dir", None, "Folder of the raw files.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("landmarks", None, "CSV of landmarks, for a dataset that has none.")


def main() -> None:
    terminal.say(ran_tf.prepare(**command.chosen("dataset", "manual_dir", "data_dir", "landmarks")))


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
