"""How fast each part is, and how far that is from what the machine can do.

One file a suite (`step`, `input`, `crop`, `serve`); each has a frozen plan and `measure(plan)`
(`step` and `serve` take the machine's `peak` too), which returns a list of rows: dicts of plain
values, ready for JSON.
"""
