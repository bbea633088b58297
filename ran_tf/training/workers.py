"""Several machines: who writes, what all must agree on, and what it looks like when one is lost.

Every worker runs the same code on its share of each batch. What is written down is the same on all
of them, so only the first, the chief, writes.
"""

import contextlib
import functools
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf.data.share import WHOLE, Share

# What a collective operation raises when a peer has died, was restarted, or cannot be reached.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnavailableError,
)


class WorkerLostError(RuntimeError):
    """A worker died or cannot be reached; the run goes on from its last checkpoint.

    Attributes:
      exit_status: EX_TEMPFAIL of sysexits.h: nothing is wrong with this worker, try again.
    """

    exit_status = 75


def make_strategy(*, several: bool) -> tf.distribute.Strategy:
    """A strategy over all local devices, and over all workers of TF_CONFIG if there are several.

    To be called before TensorFlow has done anything. Returns when every worker has called it.
    """
    if not several:
        return local_strategy()
    with explain_loss(several=True):
        return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def local_strategy() -> tf.distribute.MirroredStrategy:
    """The strategy over all local devices, one for the process.

    TensorFlow numbers the collective operations of each strategy from zero, and those of a second
    one would meet the shapes of the first.
    """
    return tf.distribute.MirroredStrategy()


def count(strategy: tf.distribute.Strategy) -> int:
    """Number of workers."""
    return len(_tasks(strategy)) or 1


def index(strategy: tf.distribute.Strategy) -> int:
    """Which worker this is; 0 is the chief."""
    resolver = strategy.cluster_resolver
    tasks = _tasks(strategy)
    return tasks.index((resolver.task_type, resolver.task_id)) if tasks else 0


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    return index(strategy) == 0


def _tasks(strategy) -> list[tuple[str, int]]:
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict() if resolver else {}
    # TensorFlow too has the chief before the workers.
    return [(job, i) for job in ("chief", "worker") for i in range(len(jobs.get(job, ())))]


def distribute(
    strategy: tf.distribute.Strategy, make_batches: Callable[[Share], tf.data.Dataset]
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Batches of every replica, by example: TensorFlow's sharding would take files or batches.

    One device takes them from the dataset itself. TensorFlow's iterator over devices has a tuner of
    its own, which waits as long as that of `ops.untuned` and obeys no option.
    """
    if strategy.num_replicas_in_sync == 1:
        return make_batches(WHOLE)

    def of_worker(context: tf.distribute.InputContext):
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        return make_batches(
            Share(
                first=context.input_pipeline_id * replicas,
                count=replicas,
                total=context.num_replicas_in_sync,
            )
        )

    return strategy.distribute_datasets_from_function(of_worker)


def gather(strategy: tf.distribute.Strategy, rows: np.ndarray) -> np.ndarray:
    """The rows of every worker, in the order of workers.

    Args:
      strategy: of the run.
      rows: f64 or i64 [b, ...], b of each worker's own; every worker must call.

    Returns:
      The same dtype, [sum of all b, ...].
    """
    if count(strategy) == 1:
        return rows
    replicas = strategy.num_replicas_in_sync // count(strategy)

    def contribution(context):
        # The first replica brings what its worker has.
        own = context.replica_id_in_sync_group % replicas == 0
        return tf.constant(rows if own else rows[:0])

    values = strategy.experimental_distribute_values_from_function(contribution)
    return strategy.gather(values, axis=0).numpy()


@functools.lru_cache
def _make_total(strategy: tf.distribute.Strategy):
    # Compiled once: each trace takes numbers for its collective operations.
    @tf.function
    def total(value):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(tf.identity, args=(value,)), axis=None
        )

    return total


def _total(strategy: tf.distribute.Strategy, value: float) -> float:
    """The sum over all replicas of what each worker says."""
    return float(_make_total(strategy)(tf.constant(value, tf.float32)))


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker is here."""
    if count(strategy) > 1:
        _total(strategy, 0.0)


@contextlib.contextmanager
def chief_first(strategy: tf.distribute.Strategy):
    """What is inside is done by the chief, and by the others once it is done there."""
    chief = is_chief(strategy)
    if not chief:
        wait_for_all(strategy)
    yield
    if chief:
        wait_for_all(strategy)


def any_asked(strategy: tf.distribute.Strategy, ask: Callable[[], bool], *, step: int) -> bool:
    """Whether any worker was asked to stop: they all stop after the same step.

    Several workers talk of it at every eighth step only (or batch of validation): it costs them a
    round of messages.
    """
    if count(strategy) == 1:
        return ask()
    return step % 8 == 0 and _total(strategy, float(bool(ask()))) > 0


def check_agreement(strategy: tf.distribute.Strategy, weights, *, step: int) -> None:
    """Checks that all workers start from one state.

    Args:
      strategy: of the run.
      weights: variables that must be equal.
      step: what the run has come to.

    Raises:
      RuntimeError: if they do not; such as where each worker has a work directory of its own.
    """
    sums = [float(np.sum(np.asarray(weight), dtype=np.float64)) for weight in weights]
    state = gather(strategy, np.array([[step, *sums]], np.float64))
    if (state != state[0]).any():
        raise RuntimeError(
            "all workers must start from the same checkpoint and weights: `workdir` (and "
            "`init_weights`) must be one folder that all of them share. "
            f"Received: steps {state[:, 0].astype(int).tolist()} by worker"
        )


@contextlib.contextmanager
def explain_loss(*, several: bool):
    """Turns what collective operations raise when a worker is gone into `WorkerLostError`.

    With one worker (not `several`) such errors mean something else and pass.
    """
    try:
        yield
    except _LOST as error:
        if not several:
            raise
        raise WorkerLostError(
            f"a worker was lost ({_reason(error)}). Start the same command again on every worker: "
            "the run goes on from the last checkpoint (--restarts=N restarts by itself)."
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """The line of TensorFlow's message that says what happened, with the task that it names."""
    message = re.sub(r"\{\{.*?\}\} ?", "", error.message or "")  # names of nodes
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    marks = ("Collective ops is aborted by", "unhealthy", "incarnation", "connect", "/job:")
    telling = [line for line in lines if any(mark in line for mark in marks)]
    return "; ".join(line.rstrip(":.") for line in (telling or lines or ["no message"])[:2])
