"""Work in threads, whose results come in the order of what they are made of.

Decoders, detectors and networks are native code that other threads need not wait for.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """As `map`, but works on `threads` items at once, also while the caller uses a result.

    No more results than that wait for the caller.

    Args:
      function: called in threads; with one thread in the caller's own.
      items: asked for in the caller's thread, each when there is room for it.
      threads: at most.

    Raises:
      Exception: what `function` or `items` raised, after the results before it. What is being
        worked on then is finished, and its results are lost; likewise where the caller stops.

    Example:
      >>> list(in_order(str, range(4), threads=2))
      ['0', '1', '2', '3']
    """
    if threads == 1:
        yield from map(function, items)
        return
    iterator, problem = iter(items), None
    waiting: collections.deque[futures.Future[Result]] = collections.deque()
    pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="in_order")
    try:
        while problem is None:
            try:
                waiting.append(pool.submit(function, next(iterator)))
            except Exception as error:
                problem = error
            # Not before the next is begun.
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if not isinstance(problem, StopIteration):
            raise problem
    finally:
        pool.shutdown(cancel_futures=True)
