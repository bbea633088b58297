"""CSV files that say something of faces, by id: read, checked and joined."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping

from etils import epath

from tfds_builders import text_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        face_id: the face in its dataset.
        cells: text by column; None in a row that is too short.
        source: file and row, for errors.
    """

    face_id: str
    cells: Mapping[str, str | None]
    source: str


def read_table(
    path: epath.PathLike,
    *,
    ids: Mapping[str, str | None],
    columns: Iterable[str],
    remedy: str,
) -> Iterator[Row]:
    """Reads a CSV file with a header, of which a row says something of one face.

    Args:
        path: the file. Blank lines and further columns are ignored.
        ids: id of the face by each name that the column `id` may have for it; None for a name that
          several faces have.
        columns: needed besides `id`, in any order.
        remedy: what to do about a missing column, for the error.

    Yields:
        Its rows, in file order.

    Raises:
        ValueError: a column is missing, or a row names no face, several, or one named before.
    """
    path = epath.Path(path)
    rows = ((line, cells) for line, cells in text_files.read_csv(path) if cells)
    _, header = next(rows, (1, []))
    missing = [name for name in ("id", *columns) if name not in header]
    if missing:
        raise ValueError(
            f"{path}, row 1: the header lacks {', '.join(missing)}: {remedy}. "
            f"Received: {','.join(header)[:80]!r}"
        )
    seen = {}
    for line, values in rows:
        source = f"{path}, row {line}"
        cells = dict(itertools.zip_longest(header, values[: len(header)]))
        face_id = _face_id(cells["id"], ids=ids, source=source)
        if face_id in seen:
            raise ValueError(
                f"{source}: repeats {face_id} of row {seen[face_id]}: delete one of the two rows. "
                f"Received: id={cells['id']!r}"
            )
        seen[face_id] = line
        yield Row(face_id=face_id, cells=cells, source=source)


def _face_id(name: str, *, ids: Mapping[str, str | None], source: str) -> str:
    if name not in ids:
        raise ValueError(
            f"{source}: names no face of this dataset: use the file that belongs to these images, "
            f"or delete the row. Received: id={name!r}"
        )
    face_id = ids[name]
    if face_id is None:
        raise ValueError(
            f"{source}: several images of this dataset have this name: write the id as the path "
            f"below manual_dir, without its ending. Received: id={name!r}"
        )
    return face_id
