"""Processes that die: by a signal, by exit, once or always, and as they start."""

import functools
import multiprocessing
import os
import pathlib
import signal

import pytest

from ran_tf.faces.processes import run_in_processes

WORK = [list(range(i, i + 4)) for i in range(0, 40, 4)]


def start():
    pass


def start_and_die():
    os._exit(3)


def double(items, *, deadly=(), how=signal.SIGKILL, once=None):
    """Doubles numbers; dies at the deadly ones, or `once` only, which a file remembers."""
    for item in items:
        if item in deadly and (once is None or not pathlib.Path(once).exists()):
            if once is not None:
                pathlib.Path(once).touch()
            os.kill(os.getpid(), how)
    return [2 * item for item in items]


def refuse(items):
    raise OSError(f"no space left for {items}")


def run(task, *, start=start, processes=2):
    results = run_in_processes(
        WORK, start=start, task=task, lost=lambda item, how: (item, how), processes=processes
    )
    results = [x for some in results for x in some]
    assert not multiprocessing.active_children()
    lost = {x[0]: x[1] for x in results if isinstance(x, tuple)}
    return sorted(x for x in results if not isinstance(x, tuple)), lost


def test_nobody_dies():
    assert run(double) == (list(range(0, 80, 2)), {})


@pytest.mark.parametrize(
    ("how", "words"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "memory ran out")]
)
def test_what_kills_is_named_and_the_rest_is_done(how, words):
    results, lost = run(functools.partial(double, deadly=(17,), how=how))
    assert results == [2 * x for x in range(40) if x != 17]
    assert list(lost) == [17] and words in lost[17]


def test_a_death_that_is_not_for_an_item_loses_nothing(tmp_path):
    task = functools.partial(double, deadly=(17,), once=str(tmp_path / "died"))
    assert run(task) == (list(range(0, 80, 2)), {})
    assert (tmp_path / "died").exists()


def test_deaths_here_and_there_do_not_end_the_run():
    deadly = (2, 11, 21, 31)
    results, lost = run(functools.partial(double, deadly=deadly), processes=1)
    assert tuple(lost) == deadly and len(results) == 36


def test_deaths_that_are_for_no_item_end_the_run():
    with pytest.raises(RuntimeError, match=r"3 items in a row.*Received: \d+, SIGKILL"):
        run(functools.partial(double, deadly=range(40)))
    assert not multiprocessing.active_children()


def test_a_process_that_cannot_start_ends_the_run():
    with pytest.raises(RuntimeError, match="3 items in a row.*exit status 3"):
        run(double, start=start_and_die)
    assert not multiprocessing.active_children()


def test_errors_of_the_work_come_through():
    with pytest.raises(OSError, match="no space left"):
        run(refuse)
    assert not multiprocessing.active_children()
