"""Work spread over processes, any of which may die: what killed it is found, and the rest is done.

Detectors are native code: a photo can crash the process that searches it, and the system kills
processes for want of memory. Neither may end a run of many hours, nor hide which photo it was. A
`ProcessPoolExecutor` is lost as a whole with any of its processes, and does not say how that ended.
"""

import collections
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, TypeVar

Item = TypeVar("Item")

# So many in a row, each at another item, and the items are not to blame.
_MAX_DEATHS = 3


def available_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_processes(
    work: Sequence[list[Item]],
    *,
    start: Callable[[], None],
    task: Callable[[list[Item]], list],
    lost: Callable[[Item, str], object],
    processes: int,
) -> Iterator[list]:
    """Yields the results of each piece of work as it is finished.

    Where a process dies, its piece is done once more, item by item: one that kills its process
    again is lost. Where the system killed it, memory may be short, and no other takes its place.

    Args:
      work: pieces, each a list of items.
      start: run by each new process; can be pickled, as can `task` and the items.
      task: from a list of items to their results; after a death it sees some items twice.
      lost: from an item that killed its process, and how that ended in words, to its result.
      processes: how many at most.

    Raises:
      RuntimeError: processes die at each of three items in a row.
    """
    waiting, deaths = collections.deque(work), 0
    workers = [_Worker(start, task) for _ in range(min(processes, len(waiting)))]
    try:
        while waiting or any(worker.items for worker in workers):
            for worker in workers:
                if waiting and not worker.items:
                    worker.take(waiting.popleft())
            busy: dict[Any, _Worker] = {worker.pipe: worker for worker in workers if worker.items}
            for worker in [busy[pipe] for pipe in connection.wait(busy)]:
                items, results = worker.items, worker.finish()
                if results is not None:
                    deaths = 0
                    yield results
                    continue
                ending = worker.end()
                workers.remove(worker)
                if not workers or worker.exitcode != -signal.SIGKILL:
                    workers.append(_Worker(start, task))
                if len(items) > 1:
                    waiting.extendleft([item] for item in reversed(items))
                    continue
                deaths += 1
                yield [lost(items[0], ending)]
                if deaths == _MAX_DEATHS:
                    raise RuntimeError(
                        f"a worker process died at each of {_MAX_DEATHS} items in a row, so the "
                        "items are probably not the cause. Its output above may say why. There "
                        "may be too little memory, or the detector may need to be installed "
                        "again. processes=1 starts no process. Finished items are kept. "
                        f"Received: {items[0]!r}, {ending}"
                    )
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, and the piece that it works on.

    Attributes:
      pipe: readable when it has finished, or died.
      items: the piece; none when it is idle.
    """

    def __init__(self, start, task):
        # Not forked: TensorFlow and ONNX Runtime do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.items: list = []
        self._process = context.Process(target=_serve, args=(theirs, start, task), daemon=True)
        # Ctrl-C is for this process alone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    @property
    def exitcode(self) -> int:
        """Of a process that has ended."""
        return self._process.exitcode or 0

    def take(self, items: list) -> None:
        self.items = items
        with contextlib.suppress(BrokenPipeError):  # dead: `finish` tells
            self.pipe.send(items)

    def finish(self) -> list | None:
        """The results of its piece; None if it died. Raises what the task raised."""
        self.items = []
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> str:
        """Ends the process at once, for what it writes is whole or absent; how it ended."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
        if self.exitcode == -signal.SIGKILL:
            return "SIGKILL, perhaps because memory ran out"
        if self.exitcode < 0:
            return signal.Signals(-self.exitcode).name
        return f"exit status {self.exitcode}"


def _serve(pipe, start, task) -> None:
    start()
    with contextlib.suppress(EOFError):  # its parent is gone, in whatever way
        while True:
            items = pipe.recv()
            try:
                answer = task(items)
            except Exception as error:
                answer = error
            pipe.send(answer)
