"""A parent that watches over a worker: it gives up waiting, and starts a lost worker again.

TensorFlow waits for other workers in C++, where no Python of the same process can end it, and what
a lost worker leaves behind in TensorFlow cannot be cleared: only a new process can go on. So the
work is done in a child, forked before anything heavy is imported.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

# EX_TEMPFAIL of sysexits.h: nothing is wrong here, the same command may succeed later.
TRY_AGAIN = 75
_ASKING = (signal.SIGTERM, signal.SIGINT)


def supervise(*, restarts: int, wait_seconds: float, waits_for: str) -> Callable[[], None]:
    """Returns in a child process; the parent stays in here, and ends as its last child does.

    A child is started again when a signal that nobody sent through the parent has ended it (a
    kill for memory, a crash) or it ended with status `TRY_AGAIN`.

    Args:
      restarts: how often at most.
      wait_seconds: how long a child may take until it calls what this function returns.
      waits_for: what it does until then, for the message.

    Returns:
      A function that tells the parent that the waiting is over.
    """
    stopped = _pass_on_signals()
    while True:
        to_child, to_parent = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            return _be_child(to_child, to_parent)
        os.close(to_child[0])
        os.close(to_parent[1])
        stopped.child = child
        if stopped.asked:  # before there was a child to tell
            os.kill(child, signal.SIGTERM)
        code = _watch(child, to_parent[0], wait_seconds=wait_seconds, waits_for=waits_for)
        os.close(to_parent[0])
        os.close(to_child[1])
        died = code < 0 and -code not in _ASKING
        status = 128 - code if code < 0 else code  # as a shell reports it
        if stopped.asked or restarts == 0 or not (died or code == TRY_AGAIN):
            # Past the interpreter's end: there is nothing here to clean up.
            os._exit(status)
        restarts -= 1
        print(
            f"worker ended with status {status}; starting it again ({restarts} restarts are left)",
            file=sys.stderr,
            flush=True,
        )


class _Stopped:
    """Whether somebody asked to stop, and the child to tell."""

    def __init__(self):
        self.asked, self.child = False, None


def _pass_on_signals() -> _Stopped:
    stopped = _Stopped()

    def ask(number, _):
        stopped.asked = True
        # Ctrl-C reaches the whole process group without help, and twice would mean "at once".
        if number == signal.SIGTERM and stopped.child:
            os.kill(stopped.child, number)

    for number in _ASKING:
        signal.signal(number, ask)
    return stopped


def _be_child(to_child, to_parent) -> Callable[[], None]:
    os.close(to_child[1])
    os.close(to_parent[0])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def follow():
        # Nobody ever writes: it ends when the parent does, and then this worker must too.
        os.read(to_child[0], 1)
        os._exit(TRY_AGAIN)

    threading.Thread(target=follow, daemon=True).start()
    return lambda: os.close(to_parent[1])


def _watch(child: int, ready: int, *, wait_seconds: float, waits_for: str) -> int:
    """Waits for a child; returns its exit status, or the negative number of what ended it."""
    deadline = time.monotonic() + wait_seconds
    # The pipe ends when the child says that it is ready, and also when it is gone.
    if not select.select([ready], [], [], max(0.0, deadline - time.monotonic()))[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(
            f"error: waited {wait_seconds:g} seconds for {waits_for}", file=sys.stderr, flush=True
        )
        return TRY_AGAIN
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
