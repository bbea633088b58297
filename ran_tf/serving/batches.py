"""Requests that wait while the network is busy, answered together by its next call.

Nothing waits for company: a request that finds the network free is answered at once.
"""

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Hashable

import numpy as np
import tensorflow as tf

# Of a request that is joined to others, and of all that are joined. The network's first steps take
# several times the bytes of its images.
MOST_BYTES = 2**23

# Requests of a server that are read at once, and wait for the network.
MOST_WAITING = 16

Outputs = dict[str, np.ndarray]
Ticket = concurrent.futures.Future[Outputs]


@dataclasses.dataclass(frozen=True)
class _Waiting:
    tensors: dict[str, tf.Tensor]
    rows: int
    size: int  # bytes
    ticket: Ticket


class Batches:
    """A line of calls of the network, in which requests of one kind share a place. Thread-safe.

    Who opens a place waits for the turn, and calls the network for all that have joined by then. So
    neither a kind of request nor a photo, which waits for the same turn, can starve another.

    Args:
      run: (signature, argument -> tensor) -> output -> array, a call of the network.
      turn: lock that a call is made in.
      most_rows: that requests are joined to; a request that has more is answered alone.

    Attributes:
      on_call: called with the rows of each call that has succeeded.
      waiting: requests whose call has not begun.
    """

    def __init__(
        self,
        run: Callable[[str, dict[str, tf.Tensor]], Outputs],
        *,
        turn: threading.Semaphore,
        most_rows: int,
    ):
        self._run, self._turn, self._most_rows = run, turn, most_rows
        self._lock = threading.Lock()
        self._open: dict[Hashable, list[_Waiting]] = {}
        self.on_call: Callable[[int], object] = lambda rows: None
        self.waiting = 0

    def answer(
        self,
        tensors: dict[str, tf.Tensor],
        *,
        signature: str,
        by_row: bool,
        ticket: Ticket | None = None,
    ) -> Outputs:
        """What the network gives for a request, in its turn.

        Args:
          tensors: argument -> tensor.
          signature: that is asked.
          by_row: whether the signature answers each row of its arguments, whatever the others are.
          ticket: a new future, by which another thread may cancel until the call begins.

        Raises:
          CancelledError: of `concurrent.futures`, if somebody did; else what `run` raises.
        """
        kind = (signature, *((name, x.dtype, *x.shape[1:]) for name, x in tensors.items()))
        rows = {x.shape[0] for x in tensors.values()} if by_row else set()
        # A request without rows is one that the network refuses.
        joins = len(rows) == 1 and min(rows) > 0
        waiting = _Waiting(
            tensors,
            rows=min(rows) if joins else 0,
            size=_count_bytes(tensors),
            ticket=ticket or concurrent.futures.Future(),
        )
        with self._lock:
            place = self._open.get(kind, [])
            leads = not (joins and place and self._fits([*place, waiting]))
            if leads:
                place = [waiting]
                if joins and self._fits(place):
                    self._open[kind] = place
            else:
                place.append(waiting)
            self.waiting += 1
        if leads:
            with self._turn:
                with self._lock:
                    if self._open.get(kind) is place:
                        del self._open[kind]
                    self.waiting -= len(place)
                self._answer(signature, place)
        return waiting.ticket.result()

    def _fits(self, place: list[_Waiting]) -> bool:
        return (
            sum(one.rows for one in place) <= self._most_rows
            and sum(one.size for one in place) <= MOST_BYTES
        )

    def _answer(self, signature: str, place: list[_Waiting]) -> None:
        place = [one for one in place if one.ticket.set_running_or_notify_cancel()]
        if len(place) > 1 and self._answer_joined(signature, place):
            return
        for one in place:
            try:
                outputs = self._run(signature, one.tensors)
            except Exception as error:
                one.ticket.set_exception(error)
            else:
                self.on_call(one.rows)
                one.ticket.set_result(outputs)

    def _answer_joined(self, signature: str, place: list[_Waiting]) -> bool:
        """Whether all are answered. One that is bad must not spoil the others."""
        ends = np.cumsum([one.rows for one in place])
        try:
            outputs = self._run(
                signature,
                {
                    name: tf.concat([one.tensors[name] for one in place], 0)
                    for name in place[0].tensors
                },
            )
            is_by_row = all(len(value) == ends[-1] for value in outputs.values())
        except Exception:
            return False
        if not is_by_row:
            return False
        self.on_call(int(ends[-1]))
        for one, end in zip(place, ends, strict=True):
            rows = slice(end - one.rows, end)
            one.ticket.set_result({name: value[rows] for name, value in outputs.items()})
        return True


def _count_bytes(tensors: dict[str, tf.Tensor]) -> int:
    return sum(
        sum(map(len, x.numpy().flat))
        if x.dtype == tf.string
        else x.dtype.size * x.shape.num_elements()
        for x in tensors.values()
    )
