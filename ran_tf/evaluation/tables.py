"""Tables on a terminal."""

from collections.abc import Sequence

from rich import box, table, text

from ran_tf.safety.escaping import for_terminal


def make_table(rows: Sequence[Sequence[str]], *, title: str | None = None) -> table.Table:
    """A table of plain text, the head first; its first column is names, the rest are numbers."""
    head, *body = rows
    name = None if title is None else _cell(title)
    grid = table.Table(title=name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(head):
        grid.add_column(_cell(column), justify="left" if i == 0 else "right", no_wrap=True)
    for row in body:
        grid.add_row(*map(_cell, row))
    return grid


def _cell(words: str) -> text.Text:
    # Rich takes a string's brackets for markup.
    return text.Text(for_terminal(words))
