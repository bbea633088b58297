"""A disk that is full for this process alone."""

import contextlib
import resource


@contextlib.contextmanager
def small_files(size: int):
    """The kernel refuses to make any file longer than `size` bytes: every writer meets it.

    Around what is tested only: pytest's own output may be a file too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
