"""The original release: two tables, and whole images of which a row names the face.

    training.csv, validation.csv           or in Manually_Annotated_file_lists/
    Manually_Annotated_Images/<dir>/<56 hex digits>.jpg (or another suffix)
                                           or in Manually_Annotated/

Tables are read row by row, so memory does not grow with them. Copies of `validation.csv` without a
header are about; its columns are then those of `COLUMNS`.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from tfds_builders import text_files
from tfds_builders.affectnet import face

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
    cells: dict[str, str]
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
        _, pixels = face.read_image(path, source=self.source)
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
        columns = None
        for line, cells in text_files.read_csv(self.table):
            if not cells:
                continue
            source = f"{self.table}, row {line}"
            if columns is None:
                columns = _columns(cells, source=source)
                if columns == tuple(cells):
                    continue
            if len(cells) != len(columns):
                raise ValueError(
                    f"{source}: has {len(cells)} columns, expected {len(columns)}: get the "
                    f"table again. Received: row={','.join(cells)[:80]!r}"
                )
            yield self._row(dict(zip(columns, cells, strict=True)), line, source)

    def _row(self, cells: dict[str, str], number: int, source: str) -> Row:
        name = cells["subDirectory_filePath"]
        return Row(
            # Not the id: nothing says that an image has one row in training.csv.
            key=str(number),
            id=epath.Path(name).stem,
            expression=face.parse_expression(cells["expression"], source=source),
            cells=cells,
            images=self.images,
            source=source,
        )


def _columns(cells: Sequence[str], *, source: str) -> tuple[str, ...]:
    """Names of the columns: the first row, or those of `COLUMNS` where it is a face already."""
    if _is_face(cells):
        return COLUMNS
    missing = [name for name in COLUMNS if name not in cells]
    if missing:
        raise ValueError(
            f"{source}: the header lacks {', '.join(missing)}: use the table as published "
            f"({','.join(COLUMNS)}). Received: {','.join(cells)[:200]!r}"
        )
    return tuple(cells)


def _is_face(cells: Sequence[str]) -> bool:
    return len(cells) == len(COLUMNS) and cells[6].strip().isdigit()


def find_splits(manual_dir: epath.PathLike) -> dict[str, Rows]:
    """The tables of the release below `manual_dir`.

    Raises:
        FileNotFoundError: a table or the folder of images is not there.
    """
    manual_dir = epath.Path(manual_dir)
    images = [manual_dir / name for name in _IMAGE_FOLDERS if (manual_dir / name).is_dir()]
    tables = {
        split: path
        for folder in reversed(_TABLE_FOLDERS)
        for split, name in TABLES.items()
        if (path := manual_dir / folder / name).is_file()
    }
    missing = [name for split, name in TABLES.items() if split not in tables]
    missing += [] if images else [f"{_IMAGE_FOLDERS[0]}/"]
    if missing:
        numbered = (manual_dir / "train_set").is_dir()
        raise FileNotFoundError(
            f"{manual_dir} lacks {', '.join(missing)} of AffectNet's original release: "
            + ("it holds the numbered release, build affectnet/numbered_8; or " if numbered else "")
            + "put them there (see the README of tfds_builders/affectnet for how to get them). "
            f"Received: manual_dir={str(manual_dir)!r}"
        )
    return {split: Rows(table=tables[split], images=images[0]) for split in TABLES}
