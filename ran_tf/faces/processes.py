"""Work spread over processes, any of which may die: what killed it is found, and the rest is done.

Detectors are native code: a photo can crash the process that searches it, and the system kills
processes for want of memory. Neither may end a run of many hours, nor hide which photo it was.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

# So many in a row, each at another item, and the items are not to blame.
_MAX_DEATHS = 3


def available_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def run_in_processes(
    work: Sequence[list],
    *,
    start: Callable[[], None],
    task: Callable[[list], list],
    lost: Callable[[object, str], object],
    processes: int,
) -> Iterator[list]:
    """Yields the results of each piece of work as it is finished.

    Where a process dies, what was in hand is done once more, item by item in one process, and then
    the rest. If no item kills that process, memory may have been short: the rest gets half as many.

    Args:
      work: pieces, each a list of items.
      start: run by each new process; can be pickled, as can `task` and the items.
      task: from a list of items to their results; after a death it sees some items twice.
      lost: from an item that killed its process, and how that ended in words, to its result.
      processes: how many at most.

    Raises:
      RuntimeError: a process dies as it starts, or at each of three items in a row.
    """
    waiting = collections.deque(work)
    while waiting:
        unfinished = yield from _run_until_a_death(waiting, start, task, processes)
        items = [item for piece in unfinished for item in piece]
        deaths = yield from _run_one_by_one(items, start, task, lost)
        if not deaths:
            processes = max(1, processes // 2)


def _run_until_a_death(waiting: collections.deque, start, task, processes: int):
    """Yields results; empties `waiting`, and returns the pieces in hand when a process died."""
    in_hand = {}
    with _open_pool(min(processes, len(waiting)), start) as pool:
        try:
            while waiting or in_hand:
                # Two for each process, so that none waits; no more, for all of them are suspects.
                while waiting and len(in_hand) < 2 * processes:
                    future = _submit(pool, task, waiting[0])
                    in_hand[future] = waiting.popleft()
                done, _ = concurrent.futures.wait(
                    in_hand, return_when=concurrent.futures.FIRST_COMPLETED
                )
                # The whole ones first, for the others end this.
                for future in sorted(done, key=lambda x: x.exception() is not None):
                    results = future.result()
                    del in_hand[future]
                    yield results
        except BrokenProcessPool:
            pass
    return list(in_hand.values())


def _run_one_by_one(items: list, start, task, lost):
    """Yields the result of each item; returns how many of them killed their process."""
    waiting, deaths, in_a_row = collections.deque(items), 0, 0
    while waiting:
        with _open_pool(1, start) as pool:
            try:
                process = _find_process(_submit(pool, os.getpid).result())
            except BrokenProcessPool as error:
                raise RuntimeError(
                    "a worker process died as it started: what it wrote above says why; "
                    f"processes=1 works without any. Received: {len(waiting):,} items to do"
                ) from error
            with contextlib.suppress(BrokenProcessPool):
                while waiting:
                    results = _submit(pool, task, [waiting[0]]).result()
                    waiting.popleft()
                    in_a_row = 0
                    yield results
        if waiting:
            deaths, in_a_row, ending = deaths + 1, in_a_row + 1, _describe(process.exitcode)
            item = waiting.popleft()
            yield [lost(item, ending)]
            if in_a_row == _MAX_DEATHS:
                raise RuntimeError(
                    f"a worker process died at each of {_MAX_DEATHS} items in a row, which is "
                    "hardly for the items: look for memory, or reinstall what finds faces. What is "
                    f"done is kept. Received: {item!r}, {ending}"
                )
    return deaths


@contextlib.contextmanager
def _open_pool(processes: int, start) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool whose processes are gone afterwards, at once where nobody waits for results."""
    others = multiprocessing.active_children()
    # Not forked: TensorFlow and ONNX Runtime do not survive a fork.
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=start
    )
    try:
        yield pool
    except (KeyboardInterrupt, GeneratorExit):
        # Not after the work in hand: what they write is whole or absent.
        for worker in set(multiprocessing.active_children()).difference(others):
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool, task, *arguments) -> concurrent.futures.Future:
    """Submits with Ctrl-C ignored, which a process that this starts inherits."""
    if threading.current_thread() is not threading.main_thread():  # where Python cannot
        return pool.submit(task, *arguments)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.submit(task, *arguments)
    finally:
        signal.signal(signal.SIGINT, before)


def _find_process(pid: int):
    return next(x for x in multiprocessing.active_children() if x.pid == pid)


def _describe(exitcode: int) -> str:
    """How a process ended, in words."""
    if exitcode == -signal.SIGKILL:
        return "SIGKILL, perhaps for want of memory"
    if exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit status {exitcode}"
