"""Text files that others wrote: whatever their bytes, they are read or one clear error is raised.

Bytes that are no UTF-8 become the replacement character and so show in the error about their row.
"""

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence

from etils import epath

# Bytes. The longest list that is read at once has fewer than a million; what is larger is none.
MAX_BYTES = 2**26
# Characters of a line of a table: those of FER2013 have some ten thousand.
_MAX_LINE = 2**20


def read_text(path: epath.PathLike) -> str:
    """The contents of a list or of one face's annotation.

    Raises:
        ValueError: it has more than `MAX_BYTES`.
    """
    path = epath.Path(path)
    size = path.stat().length
    if size > MAX_BYTES:
        raise ValueError(
            f"{path}: must have at most {MAX_BYTES:,} bytes: use the file as published. "
            f"Received: {size:,} bytes"
        )
    # A spreadsheet that saves text puts a byte order mark first.
    return path.read_bytes().decode("utf-8-sig", errors="replace")


def read_csv(path: epath.PathLike) -> Iterator[tuple[int, list[str]]]:
    """Yields number (from 1) and cells of every line that holds any text, however many.

    A row is a line: no file that is read here has a line break in a cell, and a quote that is never
    closed would swallow the rows behind it.

    Raises:
        ValueError: a cell is longer than the `csv` module reads, or a quote is not closed.
    """
    # `epath` cannot open text with replacement characters.
    with epath.Path(path).open("rb") as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        for number, line in enumerate(iter(lambda: text.readline(_MAX_LINE), ""), start=1):
            try:
                (cells,) = csv.reader([line], strict=True)
            except csv.Error as error:
                raise ValueError(
                    f"{path}, row {number}: is not a valid CSV row (an open quote, or a cell that "
                    f"is too long): correct it, or get the file again. Received: {line[:80]!r}: "
                    f"{error}"
                ) from error
            if any(cell.strip() for cell in cells):
                yield number, cells


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One row of a CSV file.

    Attributes:
        cells: text by column.
        number: of its line, from 1.
        source: file and row, for errors.
    """

    cells: Mapping[str, str]
    number: int
    source: str


def read_records(
    path: epath.PathLike,
    *,
    columns: Sequence[str],
    remedy: str,
    lacks_header: Callable[[list[str]], bool] = lambda first: False,
) -> Iterator[Record]:
    """Reads a CSV file by the names of its columns.

    Args:
        path: the file. Spaces around the header's names are ignored.
        columns: needed, in any order; further ones may be there.
        remedy: what to do about a header or a row of another form, for the error.
        lacks_header: whether the first row is one of cells already, which then are `columns`.

    Yields:
        Its rows, in file order.

    Raises:
        ValueError: a column is missing or there twice, or a row is of another length than the
          header.
    """
    header = None
    for number, cells in read_csv(path):
        source = f"{path}, row {number}"
        if header is None and lacks_header(cells):
            header = columns
        if header is None:
            header = _header(cells, columns=columns, remedy=remedy, source=source)
            continue
        if len(cells) != len(header):
            raise ValueError(
                f"{source}: has {len(cells)} columns, expected {len(header)} as in the header: "
                f"{remedy}. Received: row={','.join(cells)[:80]!r}"
            )
        yield Record(cells=dict(zip(header, cells, strict=True)), number=number, source=source)
    if header is None:
        _header([], columns=columns, remedy=remedy, source=f"{path}, row 1")


def _header(
    cells: Sequence[str], *, columns: Sequence[str], remedy: str, source: str
) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells)
    wrong = {
        "lacks": [name for name in columns if name not in header],
        "has twice": [name for name in dict.fromkeys(header) if name and header.count(name) > 1],
    }
    for how, names in wrong.items():
        if names:
            raise ValueError(
                f"{source}: the header {how} {', '.join(names)[:200]}: {remedy}. "
                f"Received: {','.join(cells)[:80]!r}"
            )
    return header
