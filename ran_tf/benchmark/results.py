"""What every result says besides its rows: when, where, and what the machine can do."""

import datetime
import json
import os
from collections.abc import Callable

from ran_tf.benchmark import machine
from ran_tf.safety import files


def collect(suite: str, measure: Callable[[dict], list[dict]], *, arguments: dict) -> dict:
    """Measures the machine and then what `measure` measures.

    Args:
      suite: its name.
      measure: takes the machine's matrix-product peak by dtype, FLOP/s; returns rows.
      arguments: what was asked for, as plain values.

    Returns:
      dict: suite, date, machine, peak_tflop_per_s, arguments, rows.
    """
    peak = machine.matrix_peak()
    rows = measure(peak)
    return {
        "suite": suite,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "peak_tflop_per_s": {name: value / 1e12 for name, value in peak.items()},
        "arguments": arguments,
        "rows": rows,
    }


def write(path: str | os.PathLike, result: dict) -> None:
    """Writes a result as JSON."""
    files.write_text(path, json.dumps(result, indent=2) + "\n")
