"""Rows of `predict` as a table, CSV or JSON on standard output, and errors on standard error."""

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Sequence

from ran_tf.launch import terminal
from ran_tf.safety import escaping


def print_rows(
    rows: Iterable[dict],
    failures: Sequence[dict],
    *,
    form: str,
    labels: Sequence[str],
    k: int,
    found: bool,
) -> dict[str, int]:
    """Prints rows as they come (a table when all are there).

    Args:
      rows: from `predict_files.predict_files`.
      failures: further rows, of paths that mean no file.
      form: "json", "csv" or "table".
      labels: class names.
      k: number of regions.
      found: whether faces were found in photos, and have boxes.

    Returns:
      {"rows", "failed"}: how many there were.
    """
    counts, failed = {"rows": 0, "failed": 0}, []
    if hasattr(sys.stdout, "reconfigure"):
        if form == "csv":
            # For programs: whatever the console has, names are those that open the files.
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        else:
            sys.stdout.reconfigure(errors="backslashreplace")

    def counted():
        for row in itertools.chain(rows, failures):
            counts["rows"] += 1
            if "error" in row:
                counts["failed"] += 1
                failed.append(row)
            yield row

    if form == "json":
        print_json(counted())
    elif form == "csv":
        print_csv(counted(), labels=labels, k=k, found=found)
    else:
        print_table(counted())
    for row in failed:
        terminal.say(f"{_name(row)}: {row['error']}", error=True)
    return counts


def print_json(rows: Iterable[dict]) -> None:
    """One array, a row an element."""
    first = True
    for row in rows:
        text = json.dumps(row, indent=2).replace("\n", "\n  ")
        print("[" if first else ",", text, sep="\n  ", end="", flush=True)
        first = False
    print("[]" if first else "\n]")


def print_csv(rows: Iterable[dict], *, labels: Sequence[str], k: int, found: bool) -> None:
    """A row a face: probabilities in columns p_<label>, weights in w_<region index>.

    "seconds" is empty but for videos; the box and the score are there if faces were found. In
    UTF-8; bytes of file names that are none stay as they are. No cell is a formula, see
    `escaping.for_csv`; on a terminal control characters are spelt out.
    """
    shared = ["path", "seconds", *(("face", "score") if found else ())]
    shared += ["label", "probability", "heaviest_region"]
    sides = ["y0", "x0", "y1", "x1"] if found else []
    columns = [*shared, *sides, *(f"p_{label}" for label in labels)]
    columns += [*(f"w_{i}" for i in range(k)), "annotated", "error"]
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n")
    writer.writerow({name: _csv_cell(name) for name in columns})
    for row in rows:
        flat = {name: row[name] for name in (*shared, "annotated", "error") if name in row}
        flat |= dict(zip(sides, row.get("box", []), strict=False))
        flat |= {f"p_{label}": p for label, p in row.get("probabilities", {}).items()}
        flat |= {f"w_{i}": w for i, w in enumerate(row.get("weights", []))}
        writer.writerow({n: _csv_cell(v, path=n in ("path", "annotated")) for n, v in flat.items()})
        sys.stdout.flush()


def print_table(rows: Iterable[dict]) -> None:
    from rich import box, table

    out = terminal.open_console()
    if not out.is_terminal:
        out.width = 10_000  # a file has no width: nothing is folded there
    shown = table.Table(box=box.SIMPLE_HEAD)
    shown.add_column("face", overflow="fold")
    shown.add_column("expression")
    shown.add_column("probability", justify="right")
    shown.add_column("heaviest region")
    for row in rows:
        if "error" in row:
            continue
        region = f"{row['heaviest_region']} ({max(row['weights']):.0%} of the weight)"
        face, label = map(escaping.for_terminal, (_name(row), row["label"]))
        shown.add_row(face, label, f"{row['probability']:.1%}", region)
    if shown.row_count:
        out.print(shown)


def _csv_cell(value, *, path: bool = False):
    cell = escaping.for_csv(value, path=path)
    shown = isinstance(cell, str) and sys.stdout.isatty()
    return escaping.for_terminal(cell) if shown else cell


def _name(row: dict) -> str:
    name = row["path"]
    if "seconds" in row:
        name += f" at {row['seconds']:.2f} s"
    if "box" in row:
        y0, x0, y1, x1 = (round(side) for side in row["box"])
        name += f" face {row['face']} (x {x0}-{x1}, y {y0}-{y1})"
    return name
