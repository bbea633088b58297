"""Five landmarks for datasets that have none, from the CSV that a detector's run has written.

The file (`python -m ran_tf.launch.align --landmarks_only` writes it) has a header with `id` and the
ten `COLUMNS`, in any order, and one row for a face: x and y in 0..1 of its image, turned as its
EXIF data say, "nan" where unknown. Further columns are ignored. Faces are joined by id, never by
position.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from etils import epath

from ran_tf.vocabulary import LANDMARKS
from tfds_builders.reading.tables import read_table

FILE = "landmarks.csv"
COLUMNS = tuple(f"{point}_{axis}" for point in LANDMARKS for axis in "xy")

#: Landmarks of a face of which none is known.
UNKNOWN = np.full((5, 2), np.nan, dtype=np.float32)
UNKNOWN.setflags(write=False)

_MAKE_AGAIN = "write the file again with `python -m ran_tf.launch.align --landmarks_only`"


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """Landmarks of some faces of a dataset.

    Attributes:
        path: the file that they are from; None where there is none.
        points: f32[5,2] by face id; NaN where unknown.
    """

    path: epath.Path | None
    points: Mapping[str, np.ndarray]

    def of(self, face_id: str) -> np.ndarray:
        """Landmarks f32[5,2] of a face, NaN where no row is for it."""
        return self.points.get(face_id, UNKNOWN)

    def summary(self, face_ids: Iterable[str]) -> dict[str, int | str]:
        """How many of the faces are known, for a dataset's metadata.

        Returns:
            `known`, `not_found` (a row of nan) and `no_row`: numbers of faces; `sha256` of the
            file.
        """
        face_ids = list(face_ids)
        rows = [self.points[face_id] for face_id in face_ids if face_id in self.points]
        known = sum(bool(np.isfinite(points).any()) for points in rows)
        return {
            "known": known,
            "not_found": len(rows) - known,
            "no_row": len(face_ids) - len(rows),
            "sha256": checksum(self.path),
        }


def checksum(path: epath.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(epath.Path(path).read_bytes()).hexdigest()


def load_landmarks(
    given: epath.PathLike | None, *, manual_dir: epath.PathLike, ids: Mapping[str, str | None]
) -> Landmarks:
    """Reads the landmarks that the user gives, or those that lie in `manual_dir`.

    Args:
        given: the file, None for `manual_dir/landmarks.csv` if there is one.
        manual_dir: folder of the raw files.
        ids: id of the face by each name that a row may have for it; None for a name of several.

    Raises:
        FileNotFoundError: the given file does not exist.
        ValueError: a column is missing, or a row is malformed, doubled, or of no face.
    """
    path = epath.Path(given) if given else epath.Path(manual_dir) / FILE
    if path.is_file():
        return Landmarks(path=path, points=_read(path, ids=ids))
    if given:
        raise FileNotFoundError(
            f"the file of landmarks {path} does not exist: {_MAKE_AGAIN}. Received: "
            f"landmarks={str(given)!r}"
        )
    return Landmarks(path=None, points={})


def _read(path: epath.Path, *, ids: Mapping[str, str | None]) -> dict[str, np.ndarray]:
    rows = read_table(path, ids=ids, columns=COLUMNS, remedy=_MAKE_AGAIN)
    return {
        face_id: _parse([row.cells[name] for name in COLUMNS], source=row.source)
        for face_id, row in rows.items()
    }


def _parse(cells: list[str], *, source: str) -> np.ndarray:
    try:
        points = np.array([float(cell) for cell in cells], dtype=np.float32).reshape(-1, 2)
    except ValueError:
        points = None
    # Written so that an infinity is outside and a nan is inside.
    if points is None or not np.all(np.isnan(points) | ((points >= 0) & (points <= 1))):
        raise ValueError(
            f"{source}: must give ten numbers in 0..1 of the image's width and height, or nan: "
            f"divide pixels by them, or {_MAKE_AGAIN}. Received: {cells}"
        )
    if np.any(np.isnan(points[:, 0]) != np.isnan(points[:, 1])):
        raise ValueError(
            f"{source}: a landmark must have both x and y, or nan for both. Received: {cells}"
        )
    return points
