"""Rows of `predict` as a table, CSV or JSON on standard output, and errors on standard error."""

import codecs
import csv
import itertools
import json
import sys
from collections.abc import Iterable, Sequence


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
        # File names that are no valid UTF-8 come out as they went in; an output that has not all
        # of Unicode spells out what it lacks.
        unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")

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
        print(f"{_name(row)}: {row['error']}", file=sys.stderr)
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

    "seconds" is empty but for videos; the box and the score are there if faces were found.
    """
    shared = ["path", "seconds", *(("face", "score") if found else ())]
    shared += ["label", "probability", "heaviest_region"]
    sides = ["y0", "x0", "y1", "x1"] if found else []
    columns = [*shared, *sides, *(f"p_{label}" for label in labels)]
    columns += [*(f"w_{i}" for i in range(k)), "annotated", "error"]
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {name: row[name] for name in (*shared, "annotated", "error") if name in row}
        flat |= dict(zip(sides, row.get("box", []), strict=False))
        flat |= {f"p_{label}": p for label, p in row.get("probabilities", {}).items()}
        flat |= {f"w_{i}": w for i, w in enumerate(row.get("weights", []))}
        writer.writerow(flat)
        sys.stdout.flush()


def print_table(rows: Iterable[dict]) -> None:
    from rich import box, console, table, text

    out = console.Console(highlight=False)
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
        # File names may look like rich's markup.
        face = text.Text(_name(row))
        shown.add_row(face, row["label"], f"{row['probability']:.1%}", region)
    if shown.row_count:
        out.print(shown)


def _name(row: dict) -> str:
    name = row["path"]
    if "seconds" in row:
        name += f" at {row['seconds']:.2f} s"
    if "box" in row:
        y0, x0, y1, x1 = (round(side) for side in row["box"])
        name += f" face {row['face']} (x {x0}-{x1}, y {y0}-{y1})"
    return name
