"""python -m ran_tf.launch.predict --model=PRESET|EXPORT_DIR|WORKDIR [--align] [--json] PATH...

Classifies face crops, or with --align the faces of photos: image files, folders (searched in
depth), globs, and videos, of which one frame is taken each --every seconds. Shows a table, or with
--json or --csv prints all probabilities, weights and boxes; --annotate=DIR writes a picture of each
face with its regions and their weights. What cannot be read is listed and does not stop the others;
the exit status is then 1.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from ran_tf.launch import command, terminal
from ran_tf.safety import files


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("model", None, "Preset, export or workdir of a run.", required=True)
    flags.DEFINE_bool("align", False, "The images are photos: find all their faces first.")
    command.define_detector_flag("Detector of --align.")
    flags.DEFINE_float("every", 1.0, "Seconds between frames of a video; 0: all.", lower_bound=0.0)
    flags.DEFINE_integer("batch_size", 32, "Faces at once.", lower_bound=1)
    flags.DEFINE_bool("json", False, "Print JSON in place of a table.")
    flags.DEFINE_bool("csv", False, "Print CSV in place of a table.")
    flags.DEFINE_string("annotate", None, "Folder for pictures of the faces and their regions.")


def main(arguments: Sequence[str]) -> None:
    values = flags.FLAGS
    if not arguments:
        raise ValueError("name at least one PATH: images, videos, folders or globs. Received: none")
    if values.json and values.csv:
        raise ValueError("choose one output. Received: --json --csv")
    if values["detector"].present and not values.align:
        raise ValueError(
            "--detector finds faces in photos, and needs --align for it. "
            f"Received: --detector={values.detector} without --align"
        )
    from ran_tf.images import photos
    from ran_tf.inference.files import find_files
    from ran_tf.launch import predict_output

    check_annotate(values.annotate, arguments)
    paths, failures, left_out = find_files(arguments)
    if left_out:
        terminal.say(f"left out: {photos.describe_left_out(left_out)}", error=True)
    import ran_tf

    predictor = ran_tf.Predictor(values.model, **command.chosen("detector", "batch_size"))
    rows = ran_tf.predict_files(
        predictor, paths, **command.chosen("align", "every", "annotate", "batch_size")
    )
    form = "json" if values.json else "csv" if values.csv else "table"
    counts = predict_output.print_rows(
        rows,
        failures,
        form=form,
        labels=predictor.labels,
        k=predictor.card.regions.k,
        found=values.align,
    )
    if form == "table" and not values.align and counts["failed"] < counts["rows"]:
        terminal.say("taken as crops of faces; --align finds those of photos", error=True)
    if counts["failed"]:
        terminal.say(f"{counts['failed']} of {counts['rows']} failed", error=True)
        sys.exit(1)


def check_annotate(folder: str | None, arguments: Sequence[str]) -> None:
    """Refuses what cannot be written, or lies within what is searched and would be found again."""
    if folder is None:
        return
    files.check_folder("annotate", folder)
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        target = pathlib.Path(folder).expanduser().resolve()
        if path.is_dir() and target.is_relative_to(path.resolve()):
            raise ValueError(
                "`annotate` must be a folder outside of those that are searched for images. "
                f"Received: annotate={folder!r}, within {argument!r}"
            )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, takes_paths=True)
