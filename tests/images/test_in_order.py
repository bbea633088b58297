"""Work in threads whose results come in order."""

import itertools
import threading

import pytest

from ran_tf.images.in_order import in_order


def test_results_come_in_order_whichever_is_done_first():
    slow = threading.Event()

    def work(i):
        # The first is done after the last.
        if i == 0:
            assert slow.wait(10)
        if i == 3:
            slow.set()
        return 10 * i

    assert list(in_order(work, range(4), threads=4)) == [0, 10, 20, 30]


def test_so_many_are_worked_on_at_once_and_no_more():
    together, busy, most = threading.Barrier(3), 0, 0
    lock = threading.Lock()

    def work(i):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        together.wait(10)
        with lock:
            busy -= 1

    list(in_order(work, range(9), threads=3))
    assert most == 3


def test_items_are_asked_for_when_there_is_room():
    asked = itertools.count()
    results = in_order(lambda item: item, asked, threads=2)
    for wanted in range(5):
        assert next(results) == wanted
    # Two wait beside the one that was taken.
    assert next(asked) == 7
    results.close()


def test_an_error_of_the_items_comes_after_what_was_made_of_them():
    def items():
        yield from "ab"
        raise ValueError("the end")

    results = in_order(str.upper, items(), threads=2)
    assert [next(results), next(results)] == ["A", "B"]
    with pytest.raises(ValueError, match="the end"):
        next(results)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_work_comes_in_its_place(threads):
    results = in_order(lambda i: 1 // i, [1, 0, 1], threads=threads)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    results = in_order(lambda item: item, itertools.count(), threads=2)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_one_thread_is_the_callers():
    assert list(in_order(lambda _: threading.get_ident(), [0], threads=1)) == [
        threading.get_ident()
    ]
