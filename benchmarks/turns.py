"""A worker of `compare.py`: does one step for each line on stdin, and answers with its seconds."""

import sys
import time
from collections.abc import Callable


def serve_turns(step: Callable[[], object]) -> None:
    """Answers lines until stdin ends.

    Args:
      step: returns only when its work is done.
    """
    # Libraries print to stdout, too: answers begin with a word of their own.
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(f"seconds {time.perf_counter() - start:.6f}", flush=True)
