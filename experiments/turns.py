"""A worker of `compare.py`: does one step for each line on stdin, and answers with its seconds."""

import argparse
import sys
import time
from collections.abc import Callable


def make_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that `compare.py` gives every worker."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("batch", "regions", "size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser


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
