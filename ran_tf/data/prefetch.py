"""Making the next batches while the accelerator works on one."""

import collections
from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import Any, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], *, count: int) -> Iterator[Item]:
    """The items, in their order, of which a thread makes `count` ahead; its errors are raised."""
    iterator = iter(items)
    end: Any = object()
    with futures.ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        ahead = collections.deque(pool.submit(next, iterator, end) for _ in range(count))
        while (item := ahead.popleft().result()) is not end:
            ahead.append(pool.submit(next, iterator, end))
            yield item
