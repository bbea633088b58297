"""Tables on a terminal."""

from collections.abc import Sequence

from rich import box, console, table


def print_table(
    rows: Sequence[Sequence[str]], *, screen: console.Console, title: str | None = None
) -> None:
    """Prints rows, the first of which is the head; its first column is names, the rest numbers."""
    head, *body = rows
    grid = table.Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(head):
        grid.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in body:
        grid.add_row(*row)
    screen.print(grid)
