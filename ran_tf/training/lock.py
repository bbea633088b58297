"""One run in a work directory at a time.

The lock is the kernel's (`flock`) and ends with its process, however that ends: there is no stale
lock, and the file that stays behind means nothing.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Callable

NAME = ".lock"


@contextlib.contextmanager
def hold(workdir: str | os.PathLike):
    """Makes `workdir` if it is absent and keeps every other run out of it.

    Yields:
      A function that raises FileNotFoundError once the directory has been removed or moved away.

    Raises:
      RuntimeError: if another run is in it; names its host and process.
      OSError: if the directory cannot be made or written.
    """
    workdir = pathlib.Path(workdir)
    path = workdir / NAME
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise type(error)(
            "`workdir` must be a directory that can be written "
            f"({error.strerror}: {error.filename}). Received: workdir={str(workdir)!r}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"`workdir` is in use by another run ({_read_owner(path)}): give this run another "
                f"directory, or wait. Received: workdir={str(workdir)!r}"
            ) from error
        owner = {"host": socket.gethostname(), "pid": os.getpid()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield _make_check(descriptor, path)
    finally:
        os.close(descriptor)


def _read_owner(path: pathlib.Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun to write
        return "its process is not known"


def _make_check(descriptor: int, path: pathlib.Path) -> Callable[[], None]:
    ours = os.fstat(descriptor)

    def check() -> None:
        try:
            there = path.stat()
        except OSError:
            there = None
        if there is None or not os.path.samestat(there, ours):
            raise FileNotFoundError(
                f"the work directory {str(path.parent)!r} is gone: it was removed, moved or "
                "unmounted during the run. Restore it and run the same command again."
            )

    return check
