"""SIGTERM and Ctrl-C: the running step is finished and written down; one more Ctrl-C ends at once.

Exit codes are those of a process that the signal ended, 128 + its number (143, 130): to Slurm,
Kubernetes and systemd the run was stopped and did not fail, as after a SIGKILL (137), and in each
case the same command goes on. Errors, which would come again, exit with 1.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable

from ran_tf.launch import terminal

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_code(number: int) -> int:
    """What a shell reports for a process that this signal ended."""
    return 128 + number


@contextlib.contextmanager
def on_signals():
    """Yields a function that gives the number of the signal that asked to stop, 0 before.

    A thread listens: Python runs signal handlers between two bytecodes only, and a step of the
    network is one of them, so that a second Ctrl-C would wait as the first does.
    """
    asked: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    signal.set_wakeup_fd(writer)
    thread = threading.Thread(target=_listen, args=(reader, asked.append), daemon=True)
    thread.start()
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)  # ends the thread
        thread.join()
        os.close(reader)


def _listen(reader: int, ask: Callable[[int], None]) -> None:
    asked = False
    while byte := os.read(reader, 1):
        number = byte[0]
        if asked and number == signal.SIGINT:
            os._exit(exit_code(number))
        # A second SIGTERM says nothing new: a scheduler and its launcher may each send one.
        if asked or number not in _SIGNALS:
            continue
        asked = True
        ask(number)
        terminal.say(
            f"{signal.Signals(number).name}: finishing the step and writing a checkpoint; "
            "Ctrl-C now ends at once",
            error=True,
        )
