"""What goes wrong around a run, said in one sentence with the way out."""

import contextlib
import os
import shutil


def _of_backend(error: Exception, *, memory: bool = False) -> bool:
    """Whether TensorFlow or JAX raised it; with `memory` for want of some."""
    if type(error).__module__.partition(".")[0] not in ("tensorflow", "jax", "jaxlib"):
        return False
    named = f"{type(error).__name__} {error}"
    return not memory or "ResourceExhausted" in named or "RESOURCE_EXHAUSTED" in named


class OutOfMemoryError(RuntimeError):
    """A step did not fit into memory; names the setting to lower."""


@contextlib.contextmanager
def memory_explained(batch_size: int):
    """Turns the backend's and NumPy's errors about memory into `OutOfMemoryError`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and not _of_backend(error, memory=True):
            raise
        raise OutOfMemoryError(
            f"out of memory ({_first_line(error)}). Go on with --nocache, or lower --batch_size "
            "(and --learning_rate with it) in a new --workdir; --regions_per_step, --region_size "
            f"and --dtype=mixed_bfloat16 save memory too. Received: batch_size={batch_size}"
        ) from error


@contextlib.contextmanager
def writing_explained(what: str, folder: str | os.PathLike):
    """Turns every error of writing `what` into one OSError that says where, and what is left.

    Python, HDF5 and TensorFlow each have their own error for a full disk.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, RuntimeError)) and not _of_backend(error):
            raise
        raise OSError(
            f"{what} could not be written in {os.fspath(folder)} "
            f"({_first_line(error)}{_free(folder)}). Older files are whole. Free some space, or "
            "make the folder writable, and run the same command again."
        ) from error


def _free(folder) -> str:
    try:
        return f"; {shutil.disk_usage(folder).free / 1e6:,.0f} MB are free"
    except OSError:
        return ""


def _first_line(error: BaseException) -> str:
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return message.strip().splitlines()[0]
