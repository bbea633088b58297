"""The people of a video as rows, an annotated video and a timeline."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence

from ran_tf.checks import InvalidArgument
from ran_tf.config import VideoConfig
from ran_tf.inference import following, video
from ran_tf.inference.annotated_video import open_annotated
from ran_tf.inference.pictures import Pictures
from ran_tf.inference.rows import NO_FACE, by_label, describe_face
from ran_tf.safety import files


def check_timeline(file: str | os.PathLike, *, align: bool, paths: Sequence[pathlib.Path]) -> None:
    """Raises InvalidArgument unless the figure of one video can be written there."""
    from ran_tf.inference import timeline

    suffix = pathlib.Path(file).suffix.lower()
    if suffix not in timeline.SUFFIXES:
        raise InvalidArgument("timeline", f"a file that ends in {timeline.SUFFIXES}", str(file))
    videos = [str(path) for path in paths if video.is_video(path)]
    if not align:
        raise InvalidArgument(
            "timeline", "absent without align, because it needs the faces of whole frames", file
        )
    if len(videos) != 1:
        raise InvalidArgument(
            "timeline",
            f"for exactly one video among the paths (there are {len(videos)})",
            str(file),
        )


def predict_people(
    predictor,
    path: pathlib.Path,
    config: VideoConfig,
    *,
    batch_size: int,
    timeline_file: str | os.PathLike | None,
    draw: Pictures | None,
) -> Iterator[dict]:
    """The rows of one video, see `predict_files`; what is drawn is whole when they end."""
    labels = predictor.labels
    shown = {"path": str(path)}
    frames, faces, error = 0, 0, None
    plot = None
    if timeline_file is not None:
        from ran_tf.inference import timeline  # Matplotlib, which takes a second

        plot = timeline.Timeline(labels)
    with contextlib.ExitStack() as stack:
        film = None
        if draw is not None:
            target = draw.for_video(path)
            film = stack.enter_context(open_annotated(target, card=predictor.card, labels=labels))
            shown["annotated"] = str(target)
        stream = following.follow_people(predictor, path, config=config, batch_size=batch_size)
        while True:
            try:
                frame = next(stream, None)
            except (ImportError, OSError, ValueError) as problem:
                error = getattr(problem, "strerror", None) or str(problem)
                break
            if frame is None:
                break
            frames += 1
            faces += sum(person.face is not None for person in frame.people)
            for take in (film, plot):
                if take is not None:
                    take.add(frame)
            yield from _frame_rows(shown, frame, labels=labels)
    if plot is not None and timeline_file is not None and faces:
        with files.atomic_path(timeline_file) as partial:
            plot.figure(title=path.name).savefig(partial)
    if error is None and not faces:
        error = f"{NO_FACE} in any of {frames} frames"
    if error is not None:
        yield {"path": str(path), "error": error}


def _frame_rows(shown: dict, frame: following.VideoFrame, *, labels) -> Iterator[dict]:
    """A row for each person who is known, or one for a frame without any."""
    row = {"path": shown["path"], "seconds": round(frame.seconds, 3)}
    if frame.error is not None:
        yield row | {"error": frame.error}
    elif not frame.people:
        yield row
    for person in frame.people if frame.error is None else ():
        made = row | {"person": person.person}
        if person.face is not None and person.smoothed is not None:
            made |= describe_face(person.face, labels=labels)
            made["smoothed"] = by_label(person.smoothed, labels=labels)
            made |= {key: shown[key] for key in ("annotated",) if key in shown}
        yield made
