"""A parent that watches over a worker: it gives up waiting, and starts a lost worker again.

TensorFlow waits for other workers in C++, where no Python of the same process can end it, and what
a lost worker leaves behind in TensorFlow cannot be cleared: only a new process can go on. So the
work is done in a child, forked before anything heavy is imported.
"""

import contextlib
import ctypes
import os
import select
import signal
import threading
from collections.abc import Callable

from ran_tf.launch import terminal

# EX_TEMPFAIL of sysexits.h: nothing is wrong here, the same command may succeed later.
TRY_AGAIN = 75
_ASKING = (signal.SIGTERM, signal.SIGINT)
# Until which a child has surely heard of a Ctrl-C.
_HEARD_SECONDS = 1.0


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
        stopped.waiting, stopped.child = to_parent[0], child
        if stopped.asked:  # before there was a child to tell
            os.kill(child, signal.SIGKILL)
        code = _watch(child, to_parent[0], wait_seconds=wait_seconds, waits_for=waits_for)
        stopped.child = None
        os.close(to_parent[0])
        os.close(to_child[1])
        died = code < 0 and -code not in _ASKING
        status = 128 - code if code < 0 else code  # as a shell reports it
        if stopped.asked and code == -signal.SIGKILL:  # by us, or by who lost patience
            status = 128 + stopped.asked
        if stopped.asked or restarts == 0 or not (died or code == TRY_AGAIN):
            # Past the interpreter's end: there is nothing here to clean up.
            os._exit(status)
        restarts -= 1
        terminal.say(
            f"worker ended with status {status}; starting it again ({restarts} restarts left)",
            error=True,
        )


class _Stopped:
    """Which signal asked to stop, 0 for none; the child to tell, and the pipe it waits with."""

    def __init__(self):
        self.asked = 0
        self.child: int | None = None
        self.waiting = -1

    def ready(self) -> bool:
        """Whether there is a child that waits no more."""
        # Asked of the pipe each time: the child may train, and take its first signal well, before
        # its parent has woken to hear that it is ready.
        return self.child is not None and _ended(self.waiting, seconds=0)


def _pass_on_signals() -> _Stopped:
    stopped = _Stopped()

    def tell(*_):
        if stopped.child:
            with contextlib.suppress(ProcessLookupError):
                # While it waits in C++ nothing gentler reaches it: TensorFlow takes SIGTERM for
                # itself. It has nothing to write down yet.
                os.kill(stopped.child, signal.SIGTERM if stopped.ready() else signal.SIGKILL)

    def ask(number, _):
        stopped.asked = number
        if number == signal.SIGTERM or not stopped.ready():
            tell()
        else:
            # Ctrl-C reaches the whole process group without help, and twice would mean "at once";
            # a SIGINT for this process alone does not. SIGTERM says nothing new to who has heard.
            signal.setitimer(signal.ITIMER_REAL, _HEARD_SECONDS)

    for number in _ASKING:
        signal.signal(number, ask)
    signal.signal(signal.SIGALRM, tell)
    return stopped


def _be_child(to_child, to_parent) -> Callable[[], None]:
    os.close(to_child[1])
    os.close(to_parent[0])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def follow():
        # Nobody ever writes: it ends when the parent does, and then this worker must too.
        os.read(to_child[0], 1)
        os._exit(TRY_AGAIN)

    threading.Thread(target=follow, daemon=True).start()

    def be_ready():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # TensorFlow has taken it
        os.close(to_parent[1])

    return be_ready


def _die_with_parent() -> None:
    """For while it waits: no thread of Python runs then. On Linux; elsewhere nothing is done."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _ended(pipe: int, *, seconds: float) -> bool:
    """Whether a child's pipe ends in time: when it says that it is ready, or is gone."""
    return bool(select.select([pipe], [], [], seconds)[0])


def _watch(child: int, waiting: int, *, wait_seconds: float, waits_for: str) -> int:
    """Waits for a child; returns its exit status, or the negative number of what ended it."""
    if not _ended(waiting, seconds=wait_seconds):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        terminal.say(f"error: waited {wait_seconds:g} seconds for {waits_for}", error=True)
        return TRY_AGAIN
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
