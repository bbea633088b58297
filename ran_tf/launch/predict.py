"""python -m ran_tf.launch.predict --model=PRESET|EXPORT_DIR|WORKDIR [--align] [--csv=FILE] PATH...

Classifies face crops, or with --align the faces of photos. PATH is an image, a folder (with its
sub-folders), a glob or a video. A video gives one frame every --every seconds. With --align its
people are followed.

Prints a table. --csv=FILE, --json=FILE and --parquet=FILE write all probabilities, weights and
boxes to a file instead. The file appears when it is complete. --csv=- and --json=- print them.
--resume continues the file of a run that was stopped. --annotate=DIR writes a picture of each face
with its regions and their weights. With --align, it also writes each video with its people marked.
--timeline=FILE.png draws a video's people over time. A file that cannot be read is listed, and the
other files go on. The exit status is then 1.
"""

import sys
from collections.abc import Sequence

from absl import flags

from ran_tf.config import VideoConfig
from ran_tf.faces.detect import DetectorConfig
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags
from ran_tf.settings import settings_of

_PRINT = "-"


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string(
        "model", None, "A preset, an export or the work directory of a run.", required=True
    )
    flags.DEFINE_bool(
        "align", False, "Find all faces of each photo first. Without it, the images are face crops."
    )
    launch_flags.define_training_flags(DetectorConfig)
    command.define_engine_flag()
    launch_flags.define_training_flags(VideoConfig)
    flags.DEFINE_integer("batch_size", 32, "Batch size, faces.", lower_bound=1)
    flags.DEFINE_string("csv", None, "CSV file for all numbers; - prints them.")
    flags.DEFINE_string("json", None, "JSON file for all numbers; - prints them.")
    flags.DEFINE_string("parquet", None, "Parquet file for all numbers (extra `parquet`).")
    flags.DEFINE_bool("resume", False, "Continue the file of a run that was stopped.")
    flags.DEFINE_string(
        "annotate", None, "Folder for pictures of faces and their regions, and annotated videos."
    )
    flags.DEFINE_string(
        "timeline",
        None,
        "Figure file (.png, .svg, .pdf) of a video's people over time; needs --align.",
    )


def main(arguments: Sequence[str]) -> None:
    values = flags.FLAGS
    form, out = choose_output(values)
    if not arguments:
        hint = f"; --{form} takes a FILE, or - to print" if out else ""
        raise ValueError(
            f"name at least one PATH: images, videos, folders or globs{hint}. Received: none"
        )
    check_detector(values)
    from ran_tf.images import photos
    from ran_tf.inference import to_file, video_rows
    from ran_tf.inference.files import check_annotate, find_files

    check_annotate(values.annotate, arguments)
    if out not in (None, _PRINT):
        to_file.check_output(out, form=form, resume=values.resume)
    paths, failures, left_out = find_files(arguments)
    if left_out:
        terminal.say(f"left out: {photos.describe_left_out(left_out)}", error=True)
    if values.timeline is not None:
        video_rows.check_timeline(values.timeline, align=values.align, paths=paths)
    import ran_tf

    detector = launch_flags.train_config(values, DetectorConfig)
    options = command.chosen("batch_size", "engine")
    predictor = ran_tf.Predictor(values.model, detector=detector, **options)
    if out in (None, _PRINT):
        print_answers(predictor, paths, failures, form=form)
    else:
        write_answers(predictor, paths, failures, form=form, out=out)


def check_detector(values: flags.FlagValues) -> None:
    """Raises ValueError for a flag of the search for faces where none is searched."""
    for setting in settings_of(DetectorConfig):
        if values[setting.flag].present and not values.align:
            raise ValueError(
                f"--{setting.flag} is a setting of the search for faces in photos, and needs "
                f"--align. Received: --{setting.flag}={values[setting.flag].value} without --align"
            )


def print_answers(predictor, paths, failures, *, form: str) -> None:
    """Shows rows on standard output; exits with 1 if one is an error."""
    from ran_tf.inference import row_files
    from ran_tf.inference.files import predict_files
    from ran_tf.launch import predict_output

    align = flags.FLAGS.align
    columns = row_files.column_types(predictor.card, found=align)
    is_table = form == "table"
    # Rows that come one by one on the same terminal say enough.
    with predict_output.progress_line(shown=is_table or not sys.stdout.isatty()) as tell:
        rows = predict_files(predictor, paths, on_progress=tell, **_chosen())
        if is_table:
            rows = list(rows)
        else:
            counts = predict_output.print_rows(rows, failures, form=form, columns=columns)
    if is_table:
        counts = predict_output.print_rows(rows, failures, form=form, columns=columns)
        if not align and counts["failed"] < counts["rows"]:
            terminal.say(
                "the images are treated as face crops; --align finds the faces in photos",
                error=True,
            )
    if counts["failed"]:
        terminal.say(f"{counts['failed']} of {counts['rows']} failed", error=True)
        sys.exit(1)


def write_answers(predictor, paths, failures, *, form: str, out: str) -> None:
    """Writes rows to a file; exits with 1 if one is an error."""
    from ran_tf.inference.to_file import predict_to_file
    from ran_tf.launch import predict_output

    resume = flags.FLAGS.resume
    with predict_output.progress_line() as tell:
        done = predict_to_file(
            predictor, paths, out, form=form, resume=resume, on_progress=tell, **_chosen()
        )
    predict_output.say_written(done, failures, out=out)
    if done.failed or failures:
        sys.exit(1)


def _chosen() -> dict:
    return command.chosen("align", "every", "smooth", "annotate", "timeline", "batch_size")


def choose_output(values: flags.FlagValues) -> tuple[str, str | None]:
    """The form of what is put out, and the file if there is one."""
    asked = {form: values[form].value for form in ("csv", "json", "parquet") if values[form].value}
    if len(asked) > 1:
        given = " ".join(f"--{form}={out}" for form, out in asked.items())
        raise ValueError(f"choose one output. Received: {given}")
    form, out = next(iter(asked.items()), ("table", None))
    if form == "parquet" and out == _PRINT:
        raise ValueError("--parquet needs a FILE: it cannot be printed. Received: --parquet=-")
    if values.resume and out in (None, _PRINT):
        raise ValueError(
            "--resume continues a file: give it with --csv=FILE, --json=FILE or --parquet=FILE. "
            "Received: --resume"
        )
    return form, out


if __name__ == "__main__":
    command.run(
        main, define_flags=define_flags, takes_paths=True, resumes=lambda: flags.FLAGS.resume
    )
