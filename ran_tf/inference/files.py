"""From files to predictions: a row for each face, or for a file that cannot be used."""

import collections
import glob
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ran_tf.images import decoding, photos
from ran_tf.inference import annotate as pictures
from ran_tf.inference import video
from ran_tf.inference.prediction import Failure, FoundFace, Prediction
from ran_tf.inference.progress import Counter, Progress
from ran_tf.inference.rows import NO_FACE, answer_rows
from ran_tf.safety import files

# Bytes of a file's name that an annotated picture keeps: names have a limit of 255.
_MOST_NAME_BYTES = 180


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


def predict_files(
    predictor: Any,
    paths: Sequence[str | os.PathLike],
    *,
    align: bool = False,
    every: float = 1.0,
    annotate: str | os.PathLike | None = None,
    batch_size: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[dict]:
    """Classifies images and videos; no more than a batch of them is held at once.

    For rows in a file, and runs that go on after a kill, see `ran_tf.predict_to_file`.

    Args:
      predictor: a `ran_tf.Predictor`.
      paths: of files, such as `find_files` finds.
      align: the images are photos, of which all faces are found.
      every: seconds between frames of a video.
      annotate: folder for annotated pictures.
      batch_size: files or frames at once.
      on_progress: called after each file.

    Yields:
      For each face {"path", "label", "probability", "heaviest_region", "probabilities", "weights",
      "boxes"}; with "seconds" for videos, "face" (from 0, the largest), "box" (y0, x0, y1, x1 in
      pixels) and "score" if `align`, "annotated" (path) if `annotate`. For a file that cannot be
      used, or has no face to find, {"path", "error"}.

    Example:
      >>> predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
      >>> list(ran_tf.predict_files(predictor, ["no.png"]))
      [{'path': 'no.png', 'error': 'No such file or directory'}]
    """
    counter = Counter(total=len(paths), on_progress=on_progress)
    for _, rows in predict_each(
        predictor, paths, align=align, every=every, annotate=annotate, batch_size=batch_size
    ):
        yield from counter.count(rows)


def predict_each(
    predictor: Any,
    paths: Sequence[str | os.PathLike],
    *,
    align: bool,
    every: float,
    annotate: str | os.PathLike | None,
    batch_size: int,
    taken: Iterable[str] = (),
) -> Iterator[tuple[str, Iterable[dict]]]:
    """The rows of `predict_files`, file by file; those of a video are made as they are asked for.

    Args:
      predictor, paths, align, every, annotate, batch_size: as there.
      taken: annotated pictures of earlier runs, which are left alone.

    Yields:
      (path, rows).
    """
    found = [pathlib.Path(path).expanduser() for path in paths]
    draw = None if annotate is None else _Annotator(annotate, inputs=found, taken=taken)
    batch: list[pathlib.Path] = []
    for path in found:
        if video.is_video(path):
            yield from _predict_images(predictor, batch, align=align, draw=draw)
            batch = []
            yield (
                str(path),
                _predict_video(
                    predictor, path, every=every, batch_size=batch_size, align=align, draw=draw
                ),
            )
            continue
        batch.append(path)
        if len(batch) == batch_size:
            yield from _predict_images(predictor, batch, align=align, draw=draw)
            batch = []
    yield from _predict_images(predictor, batch, align=align, draw=draw)


def _predict_images(predictor, paths, *, align: bool, draw) -> Iterator[tuple[str, Iterable[dict]]]:
    if not paths:
        return
    ask = predictor.faces if align else predictor
    for path, answer in zip(paths, ask(paths, on_error="return"), strict=True):
        row = {"path": str(path)}
        if answer == []:
            rows: Iterable[dict] = [row | {"error": f"{NO_FACE}; face crops need no --align"}]
        else:
            rows = _face_rows(row, answer, labels=predictor.labels, image=path, draw=draw)
        yield str(path), rows


def _predict_video(
    predictor, path, *, every: float, batch_size: int, align: bool, draw
) -> Iterator[dict]:
    ask = predictor.faces if align else predictor
    frames, faces, error = 0, 0, None
    read = ((frame.seconds, frame.image) for frame in video.read_frames(path, every=every))
    stream = photos.group(read, most=batch_size)
    while True:
        try:
            batch = next(stream, None)
        except (ImportError, OSError, ValueError) as problem:
            error = getattr(problem, "strerror", None) or str(problem)
            break
        if batch is None:
            break
        frames += len(batch)
        answers = ask([image for _, image in batch], on_error="return")
        for (seconds, image), answer in zip(batch, answers, strict=True):
            row = {"path": str(path), "seconds": round(seconds, 3)}
            if isinstance(answer, Failure):
                yield row | {"error": answer.error}
                continue
            for face in _face_rows(row, answer, labels=predictor.labels, image=image, draw=draw):
                faces += 1
                yield face
    if error is None and not faces:
        error = f"no face was found in any of {frames} frames"
    if error is not None:
        yield {"path": str(path), "error": error}


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
            made["annotated"] = draw(face.image, face.prediction, row=made)
        elif draw is not None and isinstance(face, Prediction):
            # Read again: a batch of large files would not fit into memory.
            pixels = image if isinstance(image, np.ndarray) else decoding.read_image(image)
            made["annotated"] = draw(pixels, face, row=row)
        yield made


class _Annotator:
    """Writes annotated pictures to a folder, each under a name of its own and none over an input.

    A picture is called as its file, NAME.png; of a video with the time, of a photo with the number
    of the face; of files of one name but for their folder or ending with a number.
    """

    def __init__(
        self, folder: str | os.PathLike, *, inputs: Sequence[pathlib.Path], taken: Iterable[str]
    ):
        self._folder = pathlib.Path(folder).expanduser()
        home = self._folder.resolve()
        # Some file systems take A.png for a.png.
        self._taken = {p.name.casefold() for p in inputs if p.resolve().parent == home}
        self._taken |= {os.path.basename(path).casefold() for path in taken}

    def __call__(self, face: np.ndarray, prediction: Prediction, *, row: dict) -> str:
        path = pathlib.Path(row["path"])
        name = path.stem if "seconds" in row else decoding.without_suffix(path.name)
        while len(os.fsencode(name)) > _MOST_NAME_BYTES:
            name = name[:-1]
        if "seconds" in row:
            name += f"_{row['seconds']:.3f}s"
        if "face" in row:
            name += f"_face{row['face']}"
        number, free = 2, f"{name}.png"
        while free.casefold() in self._taken:
            free, number = f"{name}_{number}.png", number + 1
        self._taken.add(free.casefold())
        with files.atomic_path(self._folder / free) as partial:
            pictures.write_png(partial, pictures.annotate_face(face, prediction))
        return str(self._folder / free)
