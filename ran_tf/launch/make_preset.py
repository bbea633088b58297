"""python -m ran_tf.launch.make_preset --workdir=DIR --preset_dir=DIR [--report=FILE]

Packs the weights that a training run keeps as a preset: float16 weights, card, a known output and a
README. It is loaded again and compared on --split before it appears. To ship one with the package,
write it to ran_tf/presets/NAME. Its model.safetensors alone can be loaded, too: as URL#sha256=HEX.
"""

import os
import pathlib

from absl import flags

from ran_tf.launch import command, terminal
from ran_tf.safety import files


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.", required=True)
    flags.DEFINE_string("preset_dir", None, "Folder to write.", required=True)
    flags.DEFINE_bool("overwrite", False, "Replace what is there.")
    flags.DEFINE_string("split", "validation", "TFDS split on which rounding is measured.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the run when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("report", None, "report.json of the run, for the numbers in README.md.")
    flags.DEFINE_string("backbone_origin", None, "Whose weights training started from, and terms.")


def make_preset(
    workdir: str | os.PathLike,
    *,
    preset_dir: str | os.PathLike,
    overwrite: bool = False,
    split: str = "validation",
    dataset: str | None = None,
    data_dir: str | None = None,
    report: str | os.PathLike | None = None,
    backbone_origin: str | None = None,
) -> dict:
    """Packs a training run; see the flags, and `ran_tf.save_to_preset`.

    Raises:
      FileNotFoundError: if the run has no finished epoch, or the report is not there.
    """
    import ran_tf
    from ran_tf.weights import records

    target, workdir = (pathlib.Path(path).expanduser() for path in (preset_dir, workdir))
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"`preset_dir` exists; see --overwrite. Received: preset_dir={str(preset_dir)!r}"
        )
    files.check_folder("preset_dir", target.parent)
    model = records.load_workdir(workdir, dtype="float32").model
    return ran_tf.save_to_preset(
        model,
        target,
        overwrite=overwrite,
        measure=split,
        dataset=dataset,
        data_dir=data_dir,
        report=report,
        backbone_origin=backbone_origin,
        starts=records.read_starts(workdir),
    )


def main() -> None:
    values = flags.FLAGS
    made = make_preset(
        values.workdir,
        preset_dir=values.preset_dir,
        overwrite=values.overwrite,
        split=values.split,
        dataset=values.dataset,
        data_dir=values.data_dir,
        report=values.report,
        backbone_origin=values.backbone_origin,
    )
    terminal.say(f"preset: {values.preset_dir}, weights of {made['weights_bytes'] / 1e6:.1f} MB")
    terminal.say(
        f"float16 changed the class of {made['changed']} of {made['count']} faces of "
        f"{made['split']}; accuracy {made['correct'] / made['count']:.2%}"
    )
    terminal.say(f"sha256: {made['weights_sha256']}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
