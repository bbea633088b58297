"""CSV files that say something of faces, by id: read, checked and joined."""

from collections.abc import Iterable, Mapping

from etils import epath

from tfds_builders.reading import text_files


def read_table(
    path: epath.PathLike,
    *,
    ids: Mapping[str, str | None],
    columns: Iterable[str],
    remedy: str,
) -> dict[str, text_files.Record]:
    """Reads a CSV file with a header, of which a row says something of one face.

    Args:
        path: the file. Blank lines and further columns are ignored.
        ids: id of the face by each name that the column `id` may have for it; None for a name that
          several faces have.
        columns: needed besides `id`, in any order.
        remedy: what to do about a header or a row of another form, for the error.

    Returns:
        Its rows by face.

    Raises:
        ValueError: the file is no such table (see `text_files.read_records`), or a row names no
          face, several, or one named before.
    """
    rows: dict[str, text_files.Record] = {}
    for row in text_files.read_records(path, columns=("id", *columns), remedy=remedy):
        face_id = _face_id(row.cells["id"], ids=ids, source=row.source)
        if face_id in rows:
            raise ValueError(
                f"{row.source}: repeats {face_id} of {rows[face_id].source}: delete one of the two "
                f"rows. Received: id={row.cells['id']!r}"
            )
        rows[face_id] = row
    return rows


def _face_id(name: str, *, ids: Mapping[str, str | None], source: str) -> str:
    if name not in ids:
        # `ran_tf.launch.align` writes one before an id that a spreadsheet takes for a formula.
        name = name.removeprefix("'")
    if name not in ids:
        raise ValueError(
            f"{source}: no face of this dataset has this id: use the file that belongs to these "
            f"images, or delete the row. Received: id={name!r}"
        )
    face_id = ids[name]
    if face_id is None:
        raise ValueError(
            f"{source}: several images of this dataset have this name: give the path below "
            f"manual_dir, without its ending, as the id. Received: id={name!r}"
        )
    return face_id
