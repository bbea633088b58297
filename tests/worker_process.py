"""python -m tests.worker_process FLAGS...: the training command with the tests' tiny backbone.

Its evaluation takes few faces, in batches whose last leaves nothing for a second worker.
"""

import functools
import os

EVALUATED = {"split": "test[:33]", "batch_size": 8}


def prepare_child() -> None:
    """In the process that trains only: its parent must be able to fork, and imports nothing."""
    from ran_tf.launch import evaluate
    from tests import tiny_backbone  # noqa: F401, registers it

    evaluate.evaluate = functools.partial(evaluate.evaluate, **EVALUATED)


if __name__ == "__main__":
    from ran_tf.launch import command, train

    os.register_at_fork(after_in_child=prepare_child)
    command.run(train.main, define_flags=train.define_flags)
