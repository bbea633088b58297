"""Text files that others wrote: whatever their bytes, they are read or one clear error is raised.

Bytes that are no UTF-8 become the replacement character and so show in the error about their row.
"""

import csv
import io
from collections.abc import Iterator

from etils import epath

# Bytes. The longest list that is read at once has fewer than a million; what is larger is none.
MAX_BYTES = 2**26


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
    """Yields line number (where a row ends, from 1) and cells of every row, however many.

    Raises:
        ValueError: a cell is longer than the `csv` module reads, or a quote is never closed.
    """
    # `epath` cannot open text with replacement characters.
    with epath.Path(path).open("rb") as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline=""))
        try:
            for cells in rows:
                yield rows.line_num, cells
        except csv.Error as error:
            raise ValueError(
                f"{path}, row {rows.line_num}: is not a row of a CSV file: get the file again. "
                f"Received: {error}"
            ) from error
