"""How a command becomes one of several workers, as TF_CONFIG says.

TF_CONFIG is read here first: a mistake in it makes TensorFlow wait without a word.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Mapping

from absl import flags

from ran_tf.launch import supervise

_FORM = (
    '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": I}}, and '
    '"chief" may name one more worker'
)
# Also [::1]:2222.
_ADDRESS = re.compile(r"[!-~]+:[0-9]{1,5}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
      addresses: HOST:PORT of each, the chief first.
      index: which of them this process is.
    """

    addresses: tuple[str, ...] = ("localhost",)
    index: int = 0

    @property
    def several(self) -> bool:
        return len(self.addresses) > 1


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that TF_CONFIG names; one worker when it is absent.

    Raises:
      ValueError: if it is not of the form that TensorFlow reads, or this process is no worker.
    """
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        return Cluster()
    try:
        content = json.loads(text)
        jobs = content.get("cluster") or {}
        if not jobs:
            return Cluster()
        task = content["task"]
        kind, index = task["type"], int(task["index"])
        unknown = sorted(jobs.keys() - {"chief", "worker"})
        known = all(isinstance(job, list) for job in jobs.values())
        addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
        known = known and all(isinstance(a, str) and _ADDRESS.fullmatch(a) for a in addresses)
        in_job = 0 <= index < len(jobs[kind])
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as e:
        raise ValueError(f"TF_CONFIG must be {_FORM}. Received: TF_CONFIG={text[:500]!r}") from e
    if not known or unknown or not in_job or len(set(addresses)) != len(addresses):
        raise ValueError(
            f"TF_CONFIG must be {_FORM}; each address must appear once, `index` must be one of "
            "the addresses, and no other kind of task may appear. Received: "
            f"TF_CONFIG={text[:500]!r}"
        )
    return Cluster(
        addresses=tuple(addresses),
        index=index + (len(jobs.get("chief", ())) if kind == "worker" else 0),
    )


def define_flags() -> None:
    """Defines the flag that every command for several workers has."""
    flags.DEFINE_float(
        "wait_for_workers",
        600.0,
        "Longest wait for the other workers of TF_CONFIG, seconds.",
        lower_bound=1.0,
    )


@contextlib.contextmanager
def worker(*, restarts: int = 0, backend: str = "tensorflow"):
    """Makes this process a worker, or the only one; yields its tf.distribute strategy.

    None on JAX, which trains in one process. At the end every worker waits for the others: to them
    leaving early would look like a death.

    With several workers, or restarts, this process becomes the parent of the worker and never
    returns from here. To be called before TensorFlow is imported.
    """
    strategy = _start(restarts=restarts, backend=backend)
    if strategy is None:
        yield None
        return
    from ran_tf.training import workers

    with workers.explain_loss(several=workers.count(strategy) > 1):
        yield strategy
        workers.wait_for_all(strategy)


def _start(*, restarts: int, backend: str):
    cluster = read_cluster()
    if backend == "jax" and cluster.several:
        raise ValueError(
            "TF_CONFIG must be absent with --backend=jax, which trains in one process, on all of "
            "its devices. Received: TF_CONFIG of several workers"
        )
    wait = flags.FLAGS.wait_for_workers
    be_ready = None
    if cluster.several or restarts:
        others = [a for i, a in enumerate(cluster.addresses) if i != cluster.index]
        be_ready = supervise.supervise(
            restarts=restarts,
            wait_seconds=wait,
            waits_for=f"the other workers, {', '.join(others)}: start the same command on each, "
            f"with its own index in TF_CONFIG. Received: wait_for_workers={wait:g}",
        )
    strategy = None
    if backend == "tensorflow":
        from ran_tf.training import workers

        strategy = workers.make_strategy(several=cluster.several)
    if be_ready is not None:
        be_ready()
    return strategy
