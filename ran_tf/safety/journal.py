"""Journals that make runs resumable: a JSON object a line, the first with the run's settings."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ran_tf import settings


class Journal:
    """What a run has done. Lines that a killed run left in part are forgotten.

    Attributes:
      path: of the file.
      is_new: nothing is in it.
    """

    def __init__(self, path: pathlib.Path, file: Any, *, is_new: bool):
        self.path, self.is_new = path, is_new
        self._file = file

    def read(self) -> Iterator[tuple[dict, int]]:
        """Records in order, each with the byte that it begins at; holds one at a time.

        Raises:
          ValueError: naming the file, for a line that is no JSON object.
        """
        start = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    self.cut(start)
                    return
                if number:
                    yield self.interpret(dict, self.interpret(json.loads, line)), start
                start += len(line)

    def interpret(self, read: Callable[[Any], Any], value: Any) -> Any:
        """What `read` makes of a value of the file. Raises ValueError naming the file."""
        with _damage_named(self.path):
            return read(value)

    def cut(self, start: int) -> None:
        """Forgets a record that `read` has told the byte of, and those behind it."""
        os.truncate(self.path, start)

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Adds records in one write."""
        self._file.write("".join(json.dumps(record) + "\n" for record in records))
        self._file.flush()


@contextlib.contextmanager
def open_journal(
    path: pathlib.Path,
    asked: Mapping[str, Any],
    *,
    argument: str,
    value: str,
    other: str,
    name: Callable[[str], str] = str,
) -> Iterator[Journal]:
    """Opens a journal, or begins one, for one process at a time.

    Args:
      path: of the file.
      asked: settings that a run must have to go on with it, see `settings.fingerprint`; until a
        record is in it they may change.
      argument: that said where the journal lies, for errors.
      value: of that argument.
      other: what may be chosen instead, such as "another folder".
      name: what people call a setting.

    Raises:
      ValueError: it was begun with other settings, is no journal, or another process writes it.
    """
    # ASCII, because JSON then carries file names that are no valid UTF-8.
    with path.open("a+", encoding="ascii") as file:
        try:
            # Released by the system when the process ends, in whatever way.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"`{argument}` must not be in use by another run. Received: {argument}={value!r}"
            ) from None
        with path.open("rb") as there:
            head, first = there.readline(), there.readline()
        is_new = not first.endswith(b"\n")
        if is_new:
            file.truncate(0)
            file.write(json.dumps(asked) + "\n")
            file.flush()
        else:
            with _damage_named(path):
                earlier = settings.fingerprint(dict(json.loads(head)))
            differences = settings.differences(earlier, asked)
            if differences:
                before, now = (
                    ", ".join(f"{name(key)}={pair[i]!r}" for key, pair in differences.items())
                    for i in range(2)
                )
                raise ValueError(
                    f"`{argument}` was begun with other settings ({before}): use those, or "
                    f"{other}, or delete {path} to start again. Received: {now}"
                )
        yield Journal(path, file, is_new=is_new)


@contextlib.contextmanager
def _damage_named(path: pathlib.Path):
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a journal of this version: delete it to start again. Received: {error}"
        ) from error
