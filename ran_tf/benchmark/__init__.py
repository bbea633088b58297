"""How fast each part is, as times and ratios on one machine.

One file a suite (`step`, `input`, `crop`), whose `measure(plan)` takes its plan of `plans`
and returns rows: dicts of plain values, ready for JSON.
"""
