"""Results for people: one table a suite."""

from rich import console
from rich import table as rich_table

# Entries that are the same in every row or belong in the file only.
_HIDDEN = ("repeats", "warmup", "gflop", "faces_per_core_s_range")


def print_result(result: dict) -> None:
    """Prints what `results.collect` returns."""
    out = console.Console(highlight=False, markup=False)
    machine = result["machine"]
    peak = ", ".join(f"{v:.3f} {name}" for name, v in result["peak_tflop_per_s"].items())
    out.print(
        f"{machine['processor']}, {machine['cpus']} cpus, {result['date']}; "
        f"matrix products: {peak} TFLOP/s",
        soft_wrap=True,
    )
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
