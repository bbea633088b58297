"""Finds the faces of photos, turns them upright, and cuts them out.

    python -m ran_tf.launch.align --input_dir=photos --output_dir=faces

Writes below --output_dir:
    the faces, as squares of --size pixels, in the sub-folders of the photos;
    landmarks.csv: id, path (of the face, below --output_dir) and x, y in 0..1 of the face for
        left_eye, right_eye, nose, left_mouth, right_mouth; left is the left of the image;
    report.csv: path (of the photo, below --input_dir), status (ok, no_face, many_faces,
        unreadable, crashed), faces (found), written, note;
    framing.json: --margin and --drop. `prepare` keeps them with the dataset, so that a network that
        is trained on it cuts photos in the same way;
    align_journal.jsonl: the finished photos. After a kill, the same command continues.

With --landmarks_only it finds the landmarks of a dataset whose images are already faces, such as
FERPlus:

    python -m ran_tf.launch.align --input_dir=ferplus --output_dir=ferplus_landmarks \\
        --landmarks_only --detector=mtcnn --pad=0.25 --min_face=0.5 --retry_mirrored

landmarks.csv then has a row for every photo that could be read: the column id (the file's stem) and
the ten numbers, in 0..1 of the whole photo, turned as its EXIF data say. They are nan where no face
was found.

docs/guides/detectors.md compares the detectors.
"""

import pathlib

from absl import flags

from ran_tf.faces import journal
from ran_tf.faces.folder import align_folder
from ran_tf.faces.processes import available_cpus
from ran_tf.faces.worker import AlignConfig
from ran_tf.images import photos
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string(
        "input_dir", None, "Folder of photos. Its sub-folders are searched, too.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Folder for the faces and tables.", required=True)
    flags.DEFINE_integer(
        "processes",
        available_cpus(),
        "Number of worker processes, each with one thread. A photo that crashes a process is "
        "listed and skipped. 1 starts no process, which is faster for a few hundred photos.",
        lower_bound=1,
    )
    launch_flags.define_training_flags(AlignConfig)


def main() -> None:
    values = flags.FLAGS
    with terminal.faces_bars(terminal.open_console(stderr=True), of="photos") as on_photos:
        summary = align_folder(
            input_dir=values.input_dir,
            output_dir=values.output_dir,
            config=launch_flags.train_config(values, AlignConfig),
            processes=values.processes,
            on_photos=lambda count, total: on_photos("aligned", count, total),
        )
    terminal.say(str(summary))
    if summary.left_out:
        terminal.say(f"left out: {photos.describe_left_out(summary.left_out)}", error=True)
    written = pathlib.Path(values.output_dir).expanduser() / journal.LANDMARKS
    terminal.say(f"wrote {written} and {journal.REPORT} beside it")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags, resumes=True)
