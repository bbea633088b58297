"""Writing files so that they are whole or absent, and reading what may be neither."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile

_PARTIAL = ".partial-"
# As `tempfile` makes it; rsync's ".partial-dir" is another.
_PARTIAL_NAME = re.compile(r"\.partial-[a-z0-9_]{8}(\..{0,15})?")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike):
    """Yields a temporary path near `path`; renames it to `path` on success, else removes it.

    The temporary name ends as `path` does, because writers choose their format by the ending.
    """
    path = pathlib.Path(path)
    # The folder has the lock of who writes: HDF5 puts one of its own on the file.
    with partial_folder(path.parent) as folder:
        partial = folder / path.name
        partial.touch()
        yield partial
        _make_public(partial, mode=0o666)
        os.replace(partial, path)


def remove_partial(folder: str | os.PathLike) -> None:
    """Removes what killed processes were writing in a folder, and nobody writes any more.

    Who writes holds a lock, which ends with its process. Files of other names are left alone.
    """
    for path in pathlib.Path(folder).glob(f"{_PARTIAL}*"):
        if not _PARTIAL_NAME.fullmatch(path.name) or path.is_symlink():
            continue
        with contextlib.suppress(OSError):  # somebody's, or gone
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


def check_folder(name: str, folder: str | os.PathLike) -> None:
    """Checks, before any work, that files can be written to a folder; it need not exist.

    What killed processes were writing there is removed.

    Args:
      name: of the argument, for the error.
      folder: where files are to appear.

    Raises:
      ValueError: if it cannot be made or written.
    """
    try:
        # Without "..", which would lead out of the trial.
        folder = pathlib.Path(folder).expanduser().resolve()
        there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
        # Asking for permissions is not enough: what is mounted read-only, for one, grants them.
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        remove_partial(there)
        with partial_folder(there) as trial:
            (trial / folder.relative_to(there)).mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter: nobody's home, or links in a circle
        raise ValueError(
            f"`{name}` must be a folder that can be written to, or created. Received: "
            f"{name}={str(folder)!r}: {getattr(error, 'strerror', None) or error}"
        ) from error


@contextlib.contextmanager
def without_patterns(path: str | os.PathLike):
    """Yields a path of a file or folder that TensorFlow reads as it is.

    It looks for checkpoints, those in SavedModels too, by pattern: brackets, stars, question marks
    and backslashes of their path mean something else. A link leads around them.
    """
    if set(str(path)).isdisjoint("[]*?\\"):
        yield pathlib.Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="ran_tf_") as folder:
        link = pathlib.Path(folder, "link")
        link.symlink_to(pathlib.Path(path).resolve())
        yield link


@contextlib.contextmanager
def partial_folder(parent: str | os.PathLike):
    """Yields a new folder in `parent`, to be renamed when it is whole; removed if it was not."""
    pathlib.Path(parent).mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=_PARTIAL))
    handle = os.open(partial, os.O_RDONLY)
    try:
        _lock(handle)
        _make_public(partial, mode=0o777)
        yield partial
    finally:
        os.close(handle)
        shutil.rmtree(partial, ignore_errors=True)


def _lock(handle: int) -> None:
    """Says that somebody writes it, see `remove_partial`."""
    with contextlib.suppress(OSError):  # a file system without locks: nobody can remove it, too
        fcntl.flock(handle, fcntl.LOCK_SH)


def _make_public(path: str | os.PathLike, *, mode: int) -> None:
    """What `tempfile` makes is private; this gives it the permissions of anything new."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, mode & ~mask)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256(path: str | os.PathLike) -> str:
    """The checksum of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: str | os.PathLike, *, keys: tuple[str, ...] = ()) -> dict:
    """Reads a file that is a JSON object with some keys; raises OSError, and as `parse_json`."""
    return parse_json(pathlib.Path(path).read_bytes(), source=str(path), keys=keys)


def parse_json(text: str | bytes, *, source: str, keys: tuple[str, ...] = ()) -> dict:
    """The JSON object of a text, perhaps of a stranger.

    Args:
      text: any.
      source: the file, for errors.
      keys: that it must have.

    Raises:
      ValueError: naming the source, if it is no such object.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
        missing = [key for key in keys if key not in found]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (ValueError, RecursionError) as error:  # the latter: of lists in lists
        what = f"a JSON object with {', '.join(keys)}" if keys else "a JSON object"
        raise ValueError(
            f"{source} must be {what}; the file is damaged, or is another kind of file. Received: "
            f"{str(error)[:200]}"
        ) from error
    return found
