"""python -m tests.worker_process FLAGS...: the training command with the tests' tiny backbone.

Its evaluation takes few faces, in batches whose last leaves nothing for a second worker. With
RAN_TF_PAUSE=N:FILE it makes the file after step N, unless there is one, and waits until it says
"go": the moment for what a test does from outside.
"""

import functools
import os
import pathlib
import sys
import time

EVALUATED = {"split": "test[:33]", "batch_size": 8}


def prepare_child() -> None:
    """In the process that trains only: its parent must be able to fork, and imports nothing."""
    from ran_tf.launch import evaluate
    from tests import tiny_backbone  # noqa: F401, registers it

    evaluate.evaluate = functools.partial(evaluate.evaluate, **EVALUATED)
    if "RAN_TF_PAUSE" in os.environ:
        number, _, file = os.environ["RAN_TF_PAUSE"].partition(":")
        _pause_after(int(number), pathlib.Path(file))


def _pause_after(number: int, file: pathlib.Path) -> None:
    from ran_tf.training import workers

    any_asked = workers.any_asked

    def pause_first(strategy, ask, *, step):
        if step == number and not file.exists():
            file.touch()
            deadline = time.monotonic() + 300
            while file.read_text() != "go" and time.monotonic() < deadline:
                time.sleep(0.02)
        return any_asked(strategy, ask, step=step)

    workers.any_asked = pause_first


if __name__ == "__main__":
    from ran_tf import registry
    from ran_tf.launch import cluster, command, train

    # The parent checks the flags' names and builds nothing; who trains registers the real one.
    registry.BACKBONES.register("tiny", NotImplemented)
    os.register_at_fork(after_in_child=prepare_child)
    if not (cluster.read_cluster().several or any("--restarts" in a for a in sys.argv)):
        prepare_child()  # no parent: this process trains
    command.run(train.main, define_flags=train.define_flags)
