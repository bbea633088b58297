"""Rows of predictions as CSV, JSON and Parquet; a row at a time, so that there may be millions."""

import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ran_tf.safety import escaping
from ran_tf.weights.card import ModelCard

FORMS = ("csv", "json", "parquet")
# Columns that hold the path of a file.
PATHS = ("path", "annotated")
# Rows that are held together: a group of a Parquet file.
_GROUP = 10_000


def column_types(card: ModelCard, *, found: bool) -> dict[str, type]:
    """The columns of a network's answers, in order, and what they hold.

    Args:
      card: of the network. Probabilities are in columns p_<label>, weights in w_<region index>, and
        the covered share of the face, where the network tells it, in `covered`.
      found: faces are found in photos, and have numbers, scores and boxes; in videos they are of
        people, whose smoothed probabilities are in columns s_<label>.
    """
    who = {"face": int, "person": int, "score": float} if found else {}
    shared = {"path": str, "seconds": float, **who}
    share = {} if card.covered is None else {"covered": float}
    said = {"label": str, "probability": float, **share, "heaviest_region": str}
    sides = dict.fromkeys(("y0", "x0", "y1", "x1") if found else (), float)
    probabilities = [
        f"{kind}_{label}" for kind in ("ps" if found else "p") for label in card.labels
    ]
    numbers = dict.fromkeys([*probabilities, *(f"w_{i}" for i in range(card.regions.k))], float)
    return shared | said | sides | numbers | {"annotated": str, "error": str}


def flatten(row: dict, *, columns: Iterable[str]) -> dict[str, Any]:
    """A row of `predict_files` by column; of those that it has."""
    flat = {name: row[name] for name in columns if name in row}
    flat |= dict(zip(("y0", "x0", "y1", "x1"), row.get("box", ()), strict=False))
    flat |= {f"p_{label}": p for label, p in row.get("probabilities", {}).items()}
    flat |= {f"s_{label}": p for label, p in row.get("smoothed", {}).items()}
    return flat | {f"w_{i}": w for i, w in enumerate(row.get("weights", ()))}


def write_csv(
    file: Any,
    rows: Iterable[dict],
    *,
    columns: dict[str, type],
    show: Callable[[Any], Any] = lambda cell: cell,
) -> None:
    """A row a line, as they come. No cell is a formula, see `escaping.for_csv`.

    Args:
      file: open for text.
      rows: of `predict_files`.
      columns: see `column_types`.
      show: what is done to a cell before it is written.
    """

    def cells(values: dict) -> dict:
        return {n: show(escaping.for_csv(v, path=n in PATHS)) for n, v in values.items()}

    writer = csv.DictWriter(file, fieldnames=list(columns), lineterminator="\n")
    writer.writerow({name: show(escaping.for_csv(name)) for name in columns})
    for row in rows:
        writer.writerow(cells(flatten(row, columns=columns)))
        file.flush()


def write_json(file: Any, rows: Iterable[dict]) -> None:
    """One array, a row an element, as they come."""
    first = True
    for row in rows:
        text = json.dumps(row, indent=2).replace("\n", "\n  ")
        print("[" if first else ",", text, sep="\n  ", end="", flush=True, file=file)
        first = False
    print("[]" if first else "\n]", file=file)


def check_parquet() -> None:
    """Raises RuntimeError if PyArrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise RuntimeError("Parquet needs PyArrow: pip install 'ran_tf[parquet]'") from error


def parquet_schema(columns: dict[str, type]) -> Any:
    """The columns as `pyarrow.Schema`: numbers have 32 bits, as the network's have."""
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int32(), float: pyarrow.float32()}
    # Of a long video, seconds with their thousandths need more.
    return pyarrow.schema(
        (name, pyarrow.float64() if name == "seconds" else kinds[kind])
        for name, kind in columns.items()
    )


def write_parquet(
    path: str | os.PathLike, rows: Iterable[dict], *, columns: dict[str, type]
) -> None:
    """Parquet. A byte of a path that is no UTF-8 is spelt out, such as \\udcff."""
    from pyarrow import parquet

    schema = parquet_schema(columns)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows, _GROUP):
            writer.write_table(_to_table(group, schema=schema))


def _to_table(rows: Sequence[dict], *, schema: Any) -> Any:
    import pyarrow

    flat = [flatten(row, columns=schema.names) for row in rows]
    return pyarrow.table(
        {name: [_as_text(row.get(name)) for row in flat] for name in schema.names}, schema=schema
    )


def _as_text(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", errors="backslashreplace").decode("utf-8")
    return value


def _groups(rows: Iterable[dict], most: int) -> Iterator[list[dict]]:
    rows = iter(rows)
    while group := list(itertools.islice(rows, most)):
        yield group
