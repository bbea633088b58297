"""What a backend does for the training loop; `tensorflow_engine` and `jax_engine` do it."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import keras

from ran_tf.config import TrainConfig
from ran_tf.training.state import TrainState


class Engine(Protocol):
    """Steps, passes over the validation split, and what several workers must agree on.

    Attributes:
      state: network, moving average and optimizer; between steps up to date after `sync`.
      replicas: that share every batch: the last of an epoch must have a face for each.
      writes: whether this process writes the work directory; of several workers one does.
    """

    state: TrainState
    replicas: int
    writes: bool

    def batches(self, make: Callable[..., Iterable]) -> Iterable[Any]:
        """Batches for `step`, of `make(share)`, which gives those of a `data.share.Share`."""

    def step(self, batch: Any, *, number: int, rate: float) -> dict[str, Any]:
        """One step: number counts from 0, rate is the learning rate; `objective.sums` come back."""

    def validate(
        self, make: Callable[..., Iterable], *, stop: Callable[[int], bool]
    ) -> dict[str, float] | None:
        """Validation_accuracy and validation_cross_entropy of the moving average.

        `stop(number)` is asked before every batch; None comes back if it said so.
        """

    def sync(self) -> None:
        """Brings the state's variables up to date."""

    def restored(self) -> None:
        """Takes up what the state's variables were given."""

    def any_asked(self, ask: Callable[[], bool], *, step: int) -> bool:
        """Whether any worker was asked to stop."""

    def wait_for_all(self) -> None:
        """Returns when every worker is here."""

    def chief_first(self) -> contextlib.AbstractContextManager:
        """What is inside is done by the worker that writes, and then by the others."""

    def check_agreement(self, *, step: int) -> None:
        """Raises RuntimeError unless all workers start from one state."""


def make_engine(config: TrainConfig, arguments: dict, *, strategy: Any = None) -> Engine:
    """The engine of the backend that Keras runs on, with a new state.

    Args:
      config: the run.
      arguments: of `RegionAttentionNetwork`.
      strategy: a tf.distribute strategy, on TensorFlow; all local devices when None.

    Raises:
      ValueError: for another backend, or a strategy where there is no TensorFlow.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from ran_tf.training.tensorflow_engine import TensorFlowEngine

        return TensorFlowEngine(config, arguments, strategy=strategy)
    if backend == "jax" and strategy is None:
        from ran_tf.training.jax_engine import JaxEngine

        return JaxEngine(config, arguments)
    raise ValueError(
        "training runs on Keras' backends tensorflow and jax, and only tensorflow takes a "
        f"strategy. Received: backend={backend!r}, strategy={strategy}"
    )


def is_writer(strategy: Any = None) -> bool:
    """Whether this process writes, before there is an engine: of several workers one does."""
    if strategy is None:
        return True
    from ran_tf.training import workers

    return workers.is_chief(strategy)


def chief_first(strategy: Any = None) -> contextlib.AbstractContextManager:
    """As `Engine.chief_first`, before there is an engine."""
    if strategy is None:
        return contextlib.nullcontext()
    from ran_tf.training import workers

    return workers.chief_first(strategy)
