"""Photos between their upload and the event that is triggered for them: in memory, for a minute.

The page names a photo by the path that its upload was answered with. Here such a path is a key, and
no file has that name: nothing that a request says is ever opened or removed.
"""

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable

# An event follows its upload at once, and the server looks every few seconds.
_SECONDS = 45
TOTAL_BYTES = 256 * 2**20
# A photo of no bytes costs some too.
_LEAST = 4096


@dataclasses.dataclass(eq=False)
class _Upload:
    visitor: str
    data: bytes
    until: float

    @property
    def cost(self) -> int:
        return len(self.data) + _LEAST


class Uploads:
    """The photos that wait, each of one visitor. Threads may share it."""

    def __init__(
        self,
        folder: str,
        *,
        max_bytes: int,
        total_bytes: int = TOTAL_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
          folder: that the paths shall lie in; it need not exist.
          max_bytes: of one photo.
          total_bytes: of all together; never less than four of the largest.
          clock: in seconds.
        """
        self.max_bytes = max_bytes
        self._folder, self._clock = folder, clock
        self._total = max(total_bytes, 4 * max_bytes)
        self._kept: dict[str, _Upload] = {}
        self._cost = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, data: bytes, *, visitor: str) -> str:
        """Keeps a photo, in the place of the oldest if need be; returns its path."""
        with self._lock:
            upload = _Upload(visitor, data, self._clock() + _SECONDS)
            while self._kept and self._cost + upload.cost > self._total:
                self._pop(next(iter(self._kept)))
            path = f"{self._folder}/{secrets.token_urlsafe(24)}/photo"
            self._kept[path] = upload
            self._cost += upload.cost
            return path

    def find(self, path, *, visitor: str) -> bytes | None:
        """A visitor's own photo; None for all else."""
        with self._lock:
            return self._data_of(path, visitor)

    def take(self, path, *, visitor: str) -> bytes | None:
        """A visitor's own photo, which is forgotten; None for all else."""
        with self._lock:
            data = self._data_of(path, visitor)
            if data is not None:
                self._pop(path)
            return data

    def forget_old(self) -> None:
        """Forgets the photos whose time is over; to be called every few seconds."""
        with self._lock:
            now = self._clock()
            for path in [path for path, upload in self._kept.items() if upload.until < now]:
                self._pop(path)

    def _data_of(self, path, visitor: str) -> bytes | None:
        upload = self._kept.get(path) if isinstance(path, str) else None
        if upload is None or upload.visitor != visitor or upload.until < self._clock():
            return None
        return upload.data

    def _pop(self, path: str) -> None:
        self._cost -= self._kept.pop(path).cost
