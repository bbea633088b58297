"""A suite's rows with what every result says besides: when and where; for a file and for people."""

import dataclasses
import datetime
import importlib

from rich import console
from rich import table as rich_table

from ran_tf.benchmark import machine, plans

# Entries that are the same in every row or belong in the file only.
_HIDDEN = ("repeats", "warmup", "faces_per_core_s_range")


def measure(suite: str, plan: plans.Step | plans.Input | plans.Crop) -> dict:
    """Measures a suite.

    Args:
      suite: a key of `plans.SUITES`.
      plan: what is measured.

    Returns:
      dict: suite, date, machine, plan, rows.
    """
    rows = importlib.import_module(f"ran_tf.benchmark.{suite}").measure(plan)
    return {
        "suite": suite,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "plan": dataclasses.asdict(plan),
        "rows": rows,
    }


def print_table(result: dict) -> None:
    """Prints what `measure` returns."""
    out = console.Console(highlight=False, markup=False)
    machine = result["machine"]
    out.print(f"{machine['processor']}, {machine['cpus']} cpus, {result['date']}", soft_wrap=True)
    rows = result["rows"]
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in _HIDDEN))
    shown = rich_table.Table(title=result["suite"])
    for column in columns:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*(_text(row.get(column)) for column in columns))
    # As wide as it needs: a log file has no width.
    out.width = max(out.width, 16 * len(columns))
    out.print(shown)


def _text(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)
