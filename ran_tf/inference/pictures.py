"""A folder of annotated pictures and videos: each has a name of its own, none is an input's."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from ran_tf.images import decoding
from ran_tf.inference import annotate
from ran_tf.inference.prediction import Prediction
from ran_tf.safety import files

# Bytes of a file's name that an annotated picture keeps: names have a limit of 255.
_MOST_NAME_BYTES = 180


class Pictures:
    """Names and writes what `predict_files(annotate=...)` leaves.

    A picture is called as its file, NAME.png; of a frame with the time, of a photo with the number
    of the face; an annotated video NAME.mp4; of files of one name but for their folder or ending
    with a number.

    Args:
      folder: for them.
      inputs: files that are read.
      taken: what earlier runs left, which is left alone.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        inputs: Sequence[pathlib.Path],
        taken: Iterable[str] = (),
    ):
        self._folder = pathlib.Path(folder).expanduser()
        home = self._folder.resolve()
        # Some file systems take A.png for a.png.
        self._taken = {p.name.casefold() for p in inputs if p.resolve().parent == home}
        self._taken |= {os.path.basename(path).casefold() for path in taken}

    def of_face(self, face: np.ndarray, prediction: Prediction, *, row: dict) -> str:
        """Draws one face; returns where."""
        path = pathlib.Path(row["path"])
        end = f"_{row['seconds']:.3f}s" if "seconds" in row else ""
        if "face" in row:
            end += f"_face{row['face']}"
        target = self._reserve(path, end=end, suffix=".png", video="seconds" in row)
        with files.atomic_path(target) as partial:
            annotate.write_png(partial, annotate.annotate_face(face, prediction))
        return str(target)

    def for_video(self, path: pathlib.Path) -> pathlib.Path:
        """Where the annotated video of a video belongs."""
        return self._reserve(path, end="", suffix=".mp4", video=True)

    def _reserve(self, path: pathlib.Path, *, end: str, suffix: str, video: bool) -> pathlib.Path:
        name = path.stem if video else decoding.without_suffix(path.name)
        while len(os.fsencode(name)) > _MOST_NAME_BYTES:
            name = name[:-1]
        name += end
        number, free = 2, f"{name}{suffix}"
        while free.casefold() in self._taken:
            free, number = f"{name}_{number}{suffix}", number + 1
        self._taken.add(free.casefold())
        return self._folder / free
