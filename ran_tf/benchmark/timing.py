"""Wall times of repeated calls, as medians with their spread.

Calls that are compared take turns, so that a machine which slows down slows all of them down.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from ran_tf import checks

Name = TypeVar("Name", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of one call in seconds, warm-up left out.

    Attributes:
      seconds: one entry a repeat.
    """

    seconds: tuple[float, ...]

    def quantile(self, q: float) -> float:
        """Seconds below which a share `q` of the repeats lies."""
        return float(np.quantile(self.seconds, q))

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    def summary(self) -> dict:
        """Median, quartiles and number of repeats: the entries that every row has."""
        return {
            "ms": 1e3 * self.median,
            "ms_q25": 1e3 * self.quantile(0.25),
            "ms_q75": 1e3 * self.quantile(0.75),
            "repeats": len(self.seconds),
        }


def time_in_turns(
    calls: Mapping[Name, Callable[[], object]],
    *,
    warmup: int,
    repeats: int,
    in_a_row: int = 1,
    pause: float = 0.0,
) -> dict[Name, Timing]:
    """Times calls one after the other, again and again.

    Args:
      calls: name -> function that returns only when its work is done.
      warmup: rounds that are not counted (compilation, caches).
      repeats: rounds that are.
      in_a_row: counted calls of a turn, as a server under load makes them.
      pause: seconds of rest before each turn, which then begins with two calls that are not
        counted. Some libraries' threads wait by spinning, and would slow down whoever is next.

    Returns:
      name -> Timing.
    """
    checks.check_whole("warmup", warmup, low=0)
    checks.check_whole("repeats", repeats, low=1)
    checks.check_whole("in_a_row", in_a_row, low=1)
    checks.check_range("pause", pause, low=0.0)
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            if pause:
                time.sleep(pause)
                call()
                call()
            for _ in range(in_a_row):
                start = time.perf_counter()
                call()
                if turn >= warmup:
                    seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
