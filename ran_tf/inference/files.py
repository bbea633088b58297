"""From files to predictions: a row for each face, or for a file that cannot be used."""

import collections
import glob
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ran_tf.config import VideoConfig
from ran_tf.images import decoding, photos
from ran_tf.images.in_order import in_order
from ran_tf.inference import video
from ran_tf.inference.pictures import Pictures
from ran_tf.inference.prediction import Failure, FoundFace, Prediction
from ran_tf.inference.progress import Counter, Progress
from ran_tf.inference.rows import NO_FACE, answer_rows
from ran_tf.inference.video_rows import check_timeline, predict_people
from ran_tf.safety import files


def find_files(
    arguments: Sequence[str],
) -> tuple[list[pathlib.Path], list[dict], Mapping[str, int]]:
    """The files that paths, folders and globs mean, in order and each once.

    Folders are searched in depth for images and videos, see `photos.find_files`.

    Returns:
      files; for each argument that means none `{"path", "error"}`; and how many files of folders
      were left out, by reason.
    """
    found, failures = {}, []
    left_out: collections.Counter[str] = collections.Counter()
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        if path.is_dir():
            try:
                listing = photos.find_files(path, also=video.is_video)
                matches, error = listing.files, "no image or video in this folder"
                left_out.update(listing.left_out)
            except OSError as problem:
                matches, error = [], str(problem)
        elif "://" in argument and not path.exists():
            matches, error = [], "no file; download it first"
        elif path.exists() or not glob.has_magic(argument):
            matches, error = [path], ""
        else:
            # A link that leads nowhere is for its reader to name.
            matches = [p for p in _expand(path) if p.is_file() or not p.exists()]
            error = "no file matches"
        if not matches:
            failures.append({"path": argument, "error": error})
        found.update(dict.fromkeys(matches))
    return list(found), failures, left_out


def _expand(pattern: pathlib.Path) -> list[pathlib.Path]:
    """What a glob means; folders that are there are names, whatever letters they have."""
    there = next(folder for folder in pattern.parents if folder.is_dir())
    rest = str(pattern.relative_to(there))
    names = glob.glob(rest, root_dir=there, recursive=True)
    return sorted(there / name for name in names)


def check_annotate(
    folder: str | os.PathLike | None, arguments: Sequence[str | os.PathLike]
) -> None:
    """Raises ValueError for a folder of pictures that `find_files` would find again."""
    if folder is None:
        return
    files.check_folder("annotate", folder)
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        target = pathlib.Path(folder).expanduser().resolve()
        if path.is_dir() and target.is_relative_to(path.resolve()):
            raise ValueError(
                "`annotate` must be a folder outside the folders that are searched for images. "
                f"Received: annotate={folder!r}, within {argument!r}"
            )


def predict_files(
    predictor: Any,
    paths: Sequence[str | os.PathLike],
    *,
    align: bool = False,
    every: float = VideoConfig.every,
    smooth: float = VideoConfig.smooth,
    annotate: str | os.PathLike | None = None,
    timeline: str | os.PathLike | None = None,
    batch_size: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[dict]:
    """Classifies images and videos, two batches of them at the same time.

    `ran_tf.predict_to_file` writes the rows to a file and can continue after a stop.

    Args:
      predictor: a `ran_tf.Predictor`.
      paths: files, as `find_files` finds them.
      align: find all faces of each photo; else the images are face crops.
      every: seconds between frames of a video; 0 is every frame.
      smooth: with `align`, seconds over which the probabilities of a person in a video are
        averaged, see `Predictor.video`.
      annotate: folder for annotated pictures; with `align`, of a video for an annotated video.
      timeline: with `align`, a file (.png, .svg or .pdf) for the figure of `plot_timeline`, of the
        one video among the paths.
      batch_size: files or frames at a time.
      on_progress: called after each file.

    Yields:
      For each face {"path", "label", "probability", "heaviest_region", "probabilities", "weights",
      "boxes"}. Videos add "seconds". `align` adds "face" (from 0, the largest), "box" (y0, x0, y1,
      x1 in pixels) and "score". `annotate` adds "annotated" (path). A file that cannot be used, or
      in which no face is found, has {"path", "error"}.

      With `align`, a video has for each frame a row for each person who was seen so far. It has
      "person" (the same number in all frames, from 1) instead of "face", and "smoothed" beside
      "probabilities". A person who is not seen in a frame has only {"path", "seconds", "person"}. A
      frame before the first person has {"path", "seconds"}.

    Raises:
      ValueError: for a setting out of range; with `timeline`, if there is not exactly one video, or
        for another ending.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> list(ran_tf.predict_files(predictor, ["no.png"]))
      [{'path': 'no.png', 'error': 'No such file or directory'}]
    """
    counter = Counter(total=len(paths), on_progress=on_progress)
    for _, rows in predict_each(
        predictor,
        paths,
        align=align,
        config=VideoConfig(every=every, smooth=smooth),
        annotate=annotate,
        timeline=timeline,
        batch_size=batch_size,
    ):
        yield from counter.count(rows)


def predict_each(
    predictor: Any,
    paths: Sequence[str | os.PathLike],
    *,
    align: bool,
    config: VideoConfig,
    annotate: str | os.PathLike | None,
    timeline: str | os.PathLike | None,
    batch_size: int,
    taken: Iterable[str] = (),
) -> Iterator[tuple[str, Iterable[dict]]]:
    """The rows of `predict_files`, file by file; those of a video are made as they are asked for.

    Args:
      predictor, paths, align, annotate, timeline, batch_size: as there.
      config: its `every` and `smooth`.
      taken: annotated pictures of earlier runs, which are left alone.

    Yields:
      (path, rows).
    """
    found = [pathlib.Path(path).expanduser() for path in paths]
    if timeline is not None:
        check_timeline(timeline, align=align, paths=found)
    draw = None if annotate is None else Pictures(annotate, inputs=found, taken=taken)
    for is_video, run in itertools.groupby(found, key=video.is_video):
        if not is_video:
            yield from _predict_images(
                predictor, run, align=align, batch_size=batch_size, draw=draw
            )
            continue
        for path in run:
            if align:
                rows = predict_people(
                    *(predictor, path, config),
                    batch_size=batch_size,
                    timeline_file=timeline,
                    draw=draw,
                )
            else:
                rows = _predict_crops(
                    predictor, path, every=config.every, batch_size=batch_size, draw=draw
                )
            yield str(path), rows


def _predict_images(
    predictor, paths: Iterator[pathlib.Path], *, align: bool, batch_size: int, draw
) -> Iterator[tuple[str, Iterable[dict]]]:
    ask = predictor.faces if align else predictor

    def answer_all(batch):
        return list(zip(batch, ask(batch, on_error="return"), strict=True))

    batches = iter(lambda: list(itertools.islice(paths, batch_size)), [])
    for answered in in_order(answer_all, batches, threads=photos.GROUPS_AT_ONCE):
        for path, answer in answered:
            row = {"path": str(path)}
            if answer == []:
                rows: Iterable[dict] = [
                    row | {"error": f"{NO_FACE}; leave out --align for face crops"}
                ]
            else:
                rows = _face_rows(row, answer, labels=predictor.labels, image=path, draw=draw)
            yield str(path), rows


def _predict_crops(
    predictor, path, *, every: float, batch_size: int, draw: Pictures | None
) -> Iterator[dict]:
    """Of a video whose frames are faces."""
    read = ((frame.seconds, frame.image) for frame in video.read_frames(path, every=every))

    def answer_all(batch):
        answers = predictor([image for _, image in batch], on_error="return")
        return list(zip(batch, answers, strict=True))

    stream = in_order(
        answer_all, photos.group(read, most=batch_size), threads=photos.GROUPS_AT_ONCE
    )
    while True:
        try:
            answered = next(stream, None)
        except (ImportError, OSError, ValueError) as problem:
            yield {"path": str(path), "error": getattr(problem, "strerror", None) or str(problem)}
            return
        if answered is None:
            return
        for (seconds, image), answer in answered:
            row = {"path": str(path), "seconds": round(seconds, 3)}
            yield from _face_rows(row, answer, labels=predictor.labels, image=image, draw=draw)


def _face_rows(
    row: dict,
    answer: Prediction | list[FoundFace] | Failure,
    *,
    labels: Sequence[str],
    image,
    draw,
) -> Iterator[dict]:
    """The rows of one image: of its one crop, or of the faces found in it."""
    faces = answer if isinstance(answer, list) else [answer]
    if not faces:
        return
    for said, face in zip(answer_rows(answer, labels=labels), faces, strict=True):
        made = row | said
        if draw is not None and isinstance(face, FoundFace):
            made["annotated"] = draw.of_face(face.image, face.prediction, row=made)
        elif draw is not None and isinstance(face, Prediction):
            # Read again: a batch of large files would not fit into memory.
            pixels = image if isinstance(image, np.ndarray) else decoding.read_image(image)
            made["annotated"] = draw.of_face(pixels, face, row=row)
        yield made
