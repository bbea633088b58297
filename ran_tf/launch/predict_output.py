"""Rows of `predict` on standard output, how far it is and errors on standard error."""

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import progress as rich_progress

from ran_tf.inference import row_files
from ran_tf.inference.progress import Progress
from ran_tf.launch import terminal
from ran_tf.safety import escaping

# Seconds between two lines of a log.
_SAY_EVERY = 30


def print_rows(
    rows: Iterable[dict],
    failures: Sequence[dict],
    *,
    form: str,
    columns: dict[str, type],
) -> dict[str, int]:
    """Prints rows as they come (a table when all are there).

    Args:
      rows: from `ran_tf.predict_files`.
      failures: further rows, of paths that mean no file.
      form: "json", "csv" or "table".
      columns: see `row_files.column_types`.

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
        row_files.write_json(sys.stdout, counted())
    elif form == "csv":
        row_files.write_csv(sys.stdout, counted(), columns=columns, show=_shown)
    else:
        print_table(counted(), covered="covered" in columns)
    for row in failed:
        terminal.say(f"{_name(row)}: {row['error']}", error=True)
    return counts


@contextlib.contextmanager
def progress_line(*, shown: bool = True) -> Iterator[Callable[[Progress], None]]:
    """Yields a function that says on standard error how far a run is.

    On a terminal in a line that changes; elsewhere, so that logs tell it, every half minute.

    Args:
      shown: False says nothing.
    """
    screen = terminal.open_console(stderr=True)
    if not (shown and screen.is_terminal):
        last = time.monotonic()

        def say(done: Progress) -> None:
            nonlocal last
            if shown and time.monotonic() - last >= _SAY_EVERY:
                last = time.monotonic()
                terminal.say(str(done), error=True)

        yield say
        return
    bar = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        console=screen,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done: bar.update(task, description=str(done))


def say_written(done: Progress, failures: Sequence[dict], *, out: str) -> None:
    """What a run has written, and what was wrong with it."""
    for row in failures:
        terminal.say(f"{row['path']}: {row['error']}", error=True)
    if not done.total:
        terminal.say(f"{out} exists already and was left unchanged", error=True)
        return
    terminal.say(str(done), error=True)
    if done.resumed:
        terminal.say(f"an earlier run did {done.resumed:,} of them", error=True)
    if done.failed:
        terminal.say(f"errors are in the column `error` of {out}", error=True)
    terminal.say(f"wrote {out}")


def print_table(rows: Iterable[dict], *, covered: bool) -> None:
    """A line a face, with its covered share if the network tells it."""
    from rich import box, table

    out = terminal.open_console()
    if not out.is_terminal:
        out.width = 10_000  # a file has no width: nothing is folded there
    shown = table.Table(box=box.SIMPLE_HEAD)
    shown.add_column("face", overflow="fold")
    shown.add_column("expression")
    shown.add_column("probability", justify="right")
    if covered:
        shown.add_column("covered", justify="right")
    shown.add_column("heaviest region")
    for row in rows:
        if "error" in row:
            continue
        if "label" not in row:
            nobody = "not seen" if "person" in row else "no face"
            shown.add_row(escaping.for_terminal(_name(row)), nobody, style="dim")
            continue
        region = f"{row['heaviest_region']} ({max(row['weights']):.0%} of the weight)"
        face, label = map(escaping.for_terminal, (_name(row), row["label"]))
        share = [f"{row['covered']:.0%}"] if covered else []
        shown.add_row(face, label, f"{row['probability']:.1%}", *share, region)
    if shown.row_count:
        out.print(shown)


def _shown(cell):
    return escaping.for_terminal(cell) if isinstance(cell, str) and sys.stdout.isatty() else cell


def _name(row: dict) -> str:
    name = row["path"]
    if "seconds" in row:
        name += f" at {row['seconds']:.2f} s"
    for kind in ("face", "person"):
        if kind in row:
            name += f" {kind} {row[kind]}"
    if "box" in row:
        y0, x0, y1, x1 = (round(side) for side in row["box"])
        name += f" (x {x0}-{x1}, y {y0}-{y1})"
    return name
