"""The RAN authors' occlusion and pose lists, parsed, normalised and held against a dataset.

The published files (`ran_lists`) mix line ends (CRLF and LF) and suffixes (`.png` and `.jpg` for
the same face), so a row is read into a label and the face's id, and faces are joined by id, never
by position.
"""

import contextlib
import dataclasses
import re
import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from etils import epath
from tensorflow_datasets.core.download import downloader

from tfds_builders.reading import ran_lists, text_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListRow:
    """One face of a list.

    Attributes:
        id: the face's key in its dataset.
        label: class index that the authors give the face.
        occlusion: name of what hides the face, "none" in a pose list.
        source: file and row, for errors.
    """

    id: str
    label: int
    occlusion: str
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """What a dataset itself says of a face.

    Attributes:
        label: class index, None where the face has no class.
        cell: what the label was read from, as `name=value`, for errors.
        source: file and row, for errors.
    """

    label: int | None
    cell: str
    source: str


#: Conditions of a face that no list names.
CLEAR = types.MappingProxyType({"occlusion": "none", "pose_30": False, "pose_45": False})


def load_lists(
    lists: Mapping[str, ran_lists.ListFile], *, dl_manager: tfds.download.DownloadManager
) -> dict[str, list[ListRow]]:
    """Reads a dataset's lists from the user's folders (see `find_lists`), or else by download.

    Args:
        lists: the lists to read, by condition. Each has a row in the builder's `checksums.tsv`.
        dl_manager: of the build.

    Returns:
        Rows by condition, in file order. A face that a list repeats keeps its first row there; the
        log says which.

    Raises:
        FileNotFoundError: a list is neither there nor to be had.
        ValueError: a row does not have the published form.
    """
    paths = find_lists(lists, manual_dir=dl_manager.manual_dir)
    missing = {condition: file for condition, file in lists.items() if condition not in paths}
    if missing:
        names = ", ".join(file.name for file in missing.values())
        authors_folder = next(iter(missing.values())).folder
        folder = dl_manager.manual_dir
        logging.warning("%s not in %s: downloading from %s", names, folder, ran_lists.HOMEPAGE)
        try:
            with _few_retries():
                paths |= dl_manager.download({name: file.url for name, file in missing.items()})
        except Exception as error:  # TFDS and requests raise a dozen kinds; one remedy serves all.
            raise FileNotFoundError(
                f"the RAN authors' lists ({names}) are not in {folder} and could not be "
                f"downloaded: get them by hand from {ran_lists.HOMEPAGE} (folder {authors_folder}) "
                f"and put them into {folder}. Received: {type(error).__name__}: {error}"
            ) from error
    rows = {}
    for condition, file in lists.items():
        rows[condition] = read_list(file, path=paths[condition])
        if len(rows[condition]) != file.published:
            logging.warning(
                "%s has %d rows, the published list %d: results on this subset are not comparable.",
                paths[condition],
                len(rows[condition]),
                file.published,
            )
        rows[condition] = without_repeats(rows[condition])
    return rows


@contextlib.contextmanager
def _few_retries():
    """TFDS would try ten times, for three and a half minutes, without a word."""
    before = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 3
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before


def without_repeats(rows: Sequence[ListRow]) -> list[ListRow]:
    """Keeps the first row of every face, and logs the others."""
    first: dict[str, ListRow] = {}
    repeats = []
    for row in rows:
        if first.setdefault(row.id, row) is not row:
            repeats.append(row)
    for row in repeats:
        logging.warning(
            "%s: repeats %s of %s: counted once", row.source, row.id, first[row.id].source
        )
    return list(first.values())


def by_face(lists: Mapping[str, Sequence[ListRow]]) -> dict[str, dict[str, str | bool]]:
    """Features `occlusion`, `pose_30` and `pose_45` by face id, for the faces that lists name.

    Args:
        lists: rows by condition, each face at most once in a list.
    """
    faces: dict[str, dict[str, Any]] = {}
    for condition, rows in lists.items():
        for row in rows:
            value = row.occlusion if condition == "occlusion" else True
            faces.setdefault(row.id, dict(CLEAR))[condition] = value
    return faces


def present(
    lists: Mapping[str, Sequence[ListRow]], *, faces: Collection[str], of: str
) -> dict[str, list[ListRow]]:
    """The rows of the faces that a copy has; the log says how many it has not.

    Args:
        lists: rows by condition.
        faces: ids of the faces that lists may name.
        of: what `faces` are all of, for the log.
    """
    kept = {name: [row for row in rows if row.id in faces] for name, rows in lists.items()}
    for name, rows in lists.items():
        if len(kept[name]) < len(rows):
            logging.warning(
                "%d of the %d faces in the authors' list %s are not among the %d of %s: results "
                "on this subset are not comparable.",
                len(rows) - len(kept[name]),
                len(rows),
                name,
                len(faces),
                of,
            )
    return kept


def check_lists(
    lists: Mapping[str, Sequence[ListRow]],
    *,
    faces: Mapping[str, Known],
    emotions: Sequence[str],
    of: str,
    labels_too: bool = True,
) -> None:
    """Checks that every face of the lists is in the dataset and has the list's label there.

    No other order of the classes would pass.

    Args:
        lists: rows by condition.
        faces: those that lists may name, by id.
        emotions: names of the classes, in index order.
        of: what `faces` are all of, for errors.
        labels_too: whether the labels are those that the lists were made from.

    Raises:
        ValueError: a face is not there, or has another label.
    """
    rows = [row for rows in lists.values() for row in rows]
    absent = [row for row in rows if row.id not in faces]
    if absent:
        raise ValueError(
            f"{absent[0].source}: names an image that is not among the {len(faces)} of {of}: "
            f"complete those faces as published, or delete the row (and {len(absent) - 1} more "
            f"like it). Received: id={absent[0].id!r}"
        )
    other = [row for row in rows if row.label != faces[row.id].label] if labels_too else ()
    if other:
        row, face = other[0], faces[other[0].id]
        ours, theirs = (_with_name(label, emotions) for label in (face.label, row.label))
        raise ValueError(
            f"{row.source}: gives {row.id} the label {theirs}, {face.source} gives {ours}, both "
            "counted from zero. One of the two has its classes or columns in another order, or "
            "is from another release: use both as published, or delete the row (and "
            f"{len(other) - 1} more like it). Received: {face.cell}"
        )


def _with_name(label: int | None, emotions: Sequence[str]) -> str:
    if label is None:
        return "no class"
    return f"{label} ({emotions[label] if label < len(emotions) else 'no emotion'})"


def find_lists(
    lists: Mapping[str, ran_lists.ListFile], *, manual_dir: epath.PathLike
) -> dict[str, epath.Path]:
    """Finds the lists that the user already has.

    Args:
        lists: the lists to find, by condition.
        manual_dir: folder of the images. A list is taken from it, from the authors' folder in it
          (`ran_lists.ListFile.folder`), or from that folder in a `ran_lists` in or beside it.

    Returns:
        Path by condition, of the lists that were found.
    """
    manual_dir = epath.Path(manual_dir)
    found = {}
    for condition, file in lists.items():
        folders = (
            manual_dir,
            manual_dir / file.folder,
            manual_dir / "ran_lists" / file.folder,
            manual_dir.parent / "ran_lists" / file.folder,
        )
        paths = [folder / file.name for folder in folders if (folder / file.name).exists()]
        if paths:
            found[condition] = paths[0]
    return found


def read_list(file: ran_lists.ListFile, *, path: epath.PathLike) -> list[ListRow]:
    """Reads one list.

    Args:
        file: which list it is.
        path: where it lies.

    Returns:
        Its rows, in file order.

    Raises:
        ValueError: a row does not have the published form, or the file has no rows.
    """
    path = epath.Path(path)
    rows = []
    for number, line in enumerate(text_files.read_text(path).splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        source = f"{path}, row {number}"
        match = re.fullmatch(file.row, line)
        if not match or (file.types and match["type"] not in file.types):
            raise ValueError(
                f"{source}: not a row of the authors' list (one looks like {file.example!r}): "
                f"get the file again from {file.url}. Received: row={line!r}"
            )
        rows.append(
            ListRow(
                id=match["id"],
                label=int(match["label"]),
                occlusion=file.types[match["type"]] if file.types else "none",
                source=source,
            )
        )
    if not rows:
        raise ValueError(
            f"{path} has no rows, expected {file.published}: get the file again from {file.url}. "
            f"Received: path={str(path)!r}"
        )
    return rows
