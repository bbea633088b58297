"""Tables on a terminal."""

from collections.abc import Sequence

from rich import box, table


def make_table(rows: Sequence[Sequence[str]], *, title: str | None = None) -> table.Table:
    """A table of rows, the head first; its first column is names, the others are numbers."""
    head, *body = rows
    grid = table.Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(head):
        grid.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in body:
        grid.add_row(*row)
    return grid
