"""The original release: two tables, and whole images of which a row names the face.

    training.csv, validation.csv           or in Manually_Annotated_file_lists/
    Manually_Annotated_Images/<dir>/<56 hex digits>.jpg (or another suffix)
                                           or in Manually_Annotated/

Tables are read row by row, so memory does not grow with them. Copies of `validation.csv` without a
header are about; its columns are then those of `COLUMNS`.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from etils import epath

from tfds_builders.affectnet import face
from tfds_builders.reading import stored_image, text_files

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
TABLES = {"train": "training.csv", "validation": "validation.csv"}
_TABLE_FOLDERS = (".", "Manually_Annotated_file_lists")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_AS_PUBLISHED = f"use the table as published ({','.join(COLUMNS)})"
_CHUNK = 1 << 20  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table; nothing beyond its path and expression is parsed yet.

    Attributes:
        key: of the example, unique in its split.
        id: the image's name without folder and suffix, by which the authors' lists name the face.
        expression: index into `face.EXPRESSIONS`.
        cells: text by column.
        images: folder of the images.
        source: table and row, for errors.
    """

    key: str
    id: str
    expression: int
    cells: Mapping[str, str]
    images: epath.Path
    source: str

    def face(self) -> dict:
        """The features of the face: its image (the box, cut out), landmarks, valence and arousal.

        Raises:
            FileNotFoundError: the image is missing.
            ValueError: a cell is not what it should be, or the image does not decode.
        """
        points = self._numbers("facial_landmarks", separator=";").reshape(-1, 2)
        if points.shape != (face.POINTS, 2):
            raise ValueError(
                f"{self.source}: facial_landmarks must be {face.POINTS} pairs x;y: get the table "
                f"again, or delete the row. Received: {points.size} numbers"
            )
        path = self.images / self.cells["subDirectory_filePath"]
        # As stored: boxes and landmarks are those of pixels that no EXIF data have turned.
        _, pixels = stored_image.read(path, named_by=self.source, upright=False)
        left, top, right, bottom = self._box(pixels)
        return {
            "image": face.to_jpeg(pixels[top:bottom, left:right]),
            "landmarks": face.five_landmarks(
                points - (left, top), width=right - left, height=bottom - top
            ),
            "valence": np.float32(self._number("valence")),
            "arousal": np.float32(self._number("arousal")),
        }

    def _box(self, pixels: np.ndarray) -> tuple[int, int, int, int]:
        """Left, top, right, bottom: the face's box as far as it lies in the image."""
        height, width = pixels.shape[:2]
        x, y, box_width, box_height = (round(self._number(name)) for name in COLUMNS[1:5])
        left, right = max(x, 0), min(x + box_width, width)
        top, bottom = max(y, 0), min(y + box_height, height)
        if left >= right or top >= bottom:
            raise ValueError(
                f"{self.source}: the face's box must lie in its image of {width}x{height} pixels: "
                f"get table and image again, or delete the row. Received: x={x}, y={y}, "
                f"width={box_width}, height={box_height}"
            )
        return left, top, right, bottom

    def _number(self, column: str) -> float:
        numbers = self._numbers(column, separator=None)
        if numbers.size != 1:
            self._refuse(column)
        return float(numbers[0])

    def _numbers(self, column: str, *, separator: str | None) -> np.ndarray:
        try:
            numbers = np.array(self.cells[column].split(separator), np.float64)
        except ValueError:
            self._refuse(column)
        if not np.isfinite(numbers).all():
            self._refuse(column)
        return numbers

    def _refuse(self, column: str):
        raise ValueError(
            f"{self.source}: {column} must hold numbers: get the table again, or delete the row. "
            f"Received: {column}={self.cells[column][:80]!r}"
        ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one table, read anew in every pass.

    Attributes:
        table: the CSV file.
        images: folder of the images.
    """

    table: epath.Path
    images: epath.Path

    def __len__(self) -> int:
        """Number of rows, told from the line ends: for a progress bar."""
        lines, last = 0, b"\n"
        with self.table.open("rb") as file:
            has_header = not _is_face(file.readline(_CHUNK).decode(errors="replace").split(","))
            file.seek(0)
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
        # A file of nothing has no header either.
        return max(0, lines + (last != b"\n") - has_header)

    def __iter__(self) -> Iterator[Row]:
        records = text_files.read_records(
            self.table, columns=COLUMNS, remedy=_AS_PUBLISHED, lacks_header=_is_face
        )
        for record in records:
            yield self._row(record)

    def _row(self, record: text_files.Record) -> Row:
        name = record.cells["subDirectory_filePath"]
        path = pathlib.PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.stem:
            raise ValueError(
                f"{record.source}: must name an image below {self.images}: {_AS_PUBLISHED}. "
                f"Received: subDirectory_filePath={name[:200]!r}"
            )
        return Row(
            # Not the id: an image with several faces has a row for each.
            key=str(record.number),
            id=path.stem,
            expression=face.parse_expression(record.cells["expression"], source=record.source),
            cells=record.cells,
            images=self.images,
            source=record.source,
        )


def _is_face(cells: Sequence[str]) -> bool:
    return len(cells) == len(COLUMNS) and cells[6].strip().isdigit()


def is_there(manual_dir: epath.PathLike) -> bool:
    """Whether any part of this release lies in `manual_dir`."""
    manual_dir = epath.Path(manual_dir)
    names = (*TABLES.values(), *_TABLE_FOLDERS[1:], *_IMAGE_FOLDERS, "Manually_Annotated")
    return any((manual_dir / name).exists() for name in names)


def find_splits(manual_dir: epath.PathLike) -> dict[str, Rows]:
    """The tables of the release below `manual_dir`.

    Raises:
        FileNotFoundError: a table or the folder of images is not there.
    """
    manual_dir = epath.Path(manual_dir)
    places = {
        **{
            name: [manual_dir / folder / name for folder in _TABLE_FOLDERS]
            for name in TABLES.values()
        },
        f"{_IMAGE_FOLDERS[0]}/": [manual_dir / name for name in _IMAGE_FOLDERS],
    }
    found = {name: [path for path in paths if path.exists()] for name, paths in places.items()}
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        numbered = (manual_dir / "train_set").is_dir()
        raise FileNotFoundError(
            f"{manual_dir} lacks {', '.join(missing)} of AffectNet's original release: "
            + ("it holds the numbered release: build affectnet/numbered_8, or " if numbered else "")
            + "put them there (see the README of tfds_builders/affectnet for how to get them). "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    *tables, images = (paths[0] for paths in found.values())
    return {
        split: Rows(table=table, images=images) for split, table in zip(TABLES, tables, strict=True)
    }
