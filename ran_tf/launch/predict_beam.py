"""Classifies the faces of millions of photos with Apache Beam.

    python -m ran_tf.launch.predict_beam --input='gs://BUCKET/photos/**' --output=gs://BUCKET/faces
        --model=PRESET|EXPORT_DIR|WORKDIR [--runner=DirectRunner] [-- OPTIONS OF BEAM...]

Needs the extra `beam`: pip install "ran_tf[beam]". Writes OUTPUT-00000-of-....parquet, with the
columns of `ran_tf.launch.predict`, and OUTPUT-failures-....parquet with the path and the error of
each photo that failed. Both appear at the end of the run. A run that was stopped starts again.
Arguments after `--` go to Beam, for example -- --direct_num_workers=4
--direct_running_mode=multi_processing, or --project and --region of Dataflow.
"""

import importlib.util
from collections.abc import Sequence

from absl import flags

from ran_tf.faces.detect import DetectorConfig
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string(
        "input",
        None,
        "Pattern of the photos' paths; ** matches folders of any depth.",
        required=True,
    )
    flags.DEFINE_string("output", None, "Prefix of the files to write.", required=True)
    flags.DEFINE_string(
        "model", None, "A preset, an export or the work directory of a run.", required=True
    )
    flags.DEFINE_bool(
        "align", True, "Find all faces of each photo first. Without it, the images are face crops."
    )
    launch_flags.define_training_flags(DetectorConfig)
    flags.DEFINE_integer("batch_size", 32, "Batch size, for photos and for faces.", lower_bound=1)
    flags.DEFINE_string(
        "runner", "DirectRunner", "Name of the Beam runner, such as DataflowRunner."
    )


def main(arguments: Sequence[str]) -> None:
    values = flags.FLAGS
    if importlib.util.find_spec("apache_beam") is None:
        raise RuntimeError('predict_beam needs Apache Beam: pip install "ran_tf[beam]"')
    from ran_tf.inference import beam

    beam.run(
        values.input,
        values.output,
        options=[f"--runner={values.runner}", *arguments],
        handler=beam.PhotoHandler(
            values.model,
            detector=launch_flags.train_config(values, DetectorConfig),
            **command.chosen("align", "batch_size"),
        ),
    )
    terminal.say(f"wrote {values.output}-*.parquet")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, takes_paths=True)
