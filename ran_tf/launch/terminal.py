"""What commands show: none of it is markup, and what others have named is escaped."""

import contextlib
import select
import sys

from rich import console, progress

from ran_tf.safety import escaping


class _Console(console.Console):
    def on_broken_pipe(self) -> None:
        raise  # for `command.run`; rich would exit with status 1


def open_console(**options) -> console.Console:
    """A console of rich that takes strings as they are."""
    return _Console(highlight=False, markup=False, emoji=False, **options)


def say(line: str, *, error: bool = False) -> None:
    """Prints one line, at once; to standard error if `error`."""
    print(escaping.for_terminal(line), file=sys.stderr if error else sys.stdout, flush=True)


@contextlib.contextmanager
def faces_bars(screen: console.Console, *, of: str = "faces"):
    """Yields `on_faces(name, count, total)`, which draws a bar of faces for each name.

    Where the output is no terminal nothing is shown: a bar would leave its last state in a log.
    """
    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn(of),
        progress.TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
    tasks = {}

    def on_faces(name: str, count: int, total: float | None) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(escaping.for_terminal(name), total=total)
        bar.advance(tasks[name], count)

    with bar:
        yield on_faces


def reader_is_gone() -> bool:
    """Whether nobody reads standard output or error any more, as after `| head`."""
    for stream in (sys.stdout, sys.stderr):
        try:
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                return True
        except (AttributeError, OSError, ValueError):  # no file behind it, or closed
            continue
    return False
