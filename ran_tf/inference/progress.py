"""How far a run over many files is."""

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Iterator


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a run over many files.

    Attributes:
      photos: finished files, photos and videos, with those of earlier runs.
      total: all files of the run.
      faces: classified faces.
      failed: files with an error, such as photos without a face.
      resumed: files that earlier runs finished.
      seconds: time since this run began.

    Example:
      >>> run = ran_tf.Progress(
      ...     photos=30, total=90, faces=31, failed=2, resumed=10, seconds=4.0
      ... )
      >>> run.photos_per_second, run.seconds_left
      (5.0, 12.0)
    """

    photos: int
    total: int
    faces: int
    failed: int
    resumed: int
    seconds: float

    @property
    def photos_per_second(self) -> float:
        """Speed of this run."""
        return (self.photos - self.resumed) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Time left at this speed; None before the first file."""
        rate = self.photos_per_second
        return (self.total - self.photos) / rate if rate else None

    def __str__(self):
        """Such as "30 of 90 photos, 31 faces, 2 failed, 5.0 photos/s, 0:00:12 left"."""
        line = f"{self.photos:,} of {self.total:,} photos, {self.faces:,} faces, "
        line += f"{self.failed:,} failed, {self.photos_per_second:,.1f} photos/s"
        if self.photos < self.total and self.seconds_left is not None:
            return f"{line}, {datetime.timedelta(seconds=round(self.seconds_left))} left"
        return line


class Counter:
    """Counts files as they are done.

    Args:
      total: all files of the run.
      on_progress: called after each file.
    """

    def __init__(self, *, total: int = 0, on_progress: Callable[[Progress], None] | None = None):
        self.total, self._tell = total, on_progress
        self._photos = self._faces = self._failed = self._resumed = 0
        self._began = time.monotonic()

    def add(self, *, faces: int, failed: bool, resumed: bool = False) -> None:
        """Counts a file that is done."""
        self._photos += 1
        self._faces += faces
        self._failed += failed
        self._resumed += resumed
        if self._tell is not None and not resumed:
            self._tell(self.now())

    def count(self, rows: Iterable[dict], *, resumed: bool = False) -> Iterator[dict]:
        """Passes the rows of a file on, and counts it when they end."""
        faces, failed = 0, False
        for row in rows:
            faces += "label" in row
            failed |= "error" in row
            yield row
        self.add(faces=faces, failed=failed, resumed=resumed)

    def now(self) -> Progress:
        return Progress(
            photos=self._photos,
            total=self.total,
            faces=self._faces,
            failed=self._failed,
            resumed=self._resumed,
            seconds=time.monotonic() - self._began,
        )
