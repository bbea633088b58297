"""Training on JAX: one jitted step over all local devices.

The state lives outside of Keras' variables while steps are taken, as `stateless_call` has it;
`sync` gives it back.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ran_tf.augment import bank as banks
from ran_tf.config import TrainConfig
from ran_tf.data.prefetch import prefetch
from ran_tf.models import losses, objective
from ran_tf.training import optimizers
from ran_tf.training.state import TrainState, create_state

_INPUTS = ("image", "boxes", "mask", "key", "follows", "landmarks", "occlusion", "labels")


class JaxEngine:
    """See `engine.Engine`; one process.

    Args:
      config: the run.
      arguments: of `RegionAttentionNetwork`.
    """

    writes = True

    def __init__(self, config: TrainConfig, arguments: dict):
        # The step is global: batch statistics are of the whole batch whatever is asked for.
        self.state = create_state({**arguments, "synchronized": False}, config=config)
        self.replicas = len(jax.local_devices())
        devices = jax.sharding.Mesh(np.asarray(jax.local_devices()), ("b",))
        self._split = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec("b"))
        self._copied = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec())
        # Buffers are given back on accelerators alone: on a CPU JAX warns that it cannot.
        donated = () if jax.default_backend() == "cpu" else (0,)
        # An argument of the step, and not a constant in it.
        bank = banks.of_objective(config.objective, seed=config.seed)
        self._bank = jax.device_put(bank, self._copied)
        self._step = jax.jit(_make_step(self.state, config), donate_argnums=donated)
        self._sums = jax.jit(_make_validation_step(self.state))
        self._arrays: Any = None
        self.restored()

    def batches(self, make):
        # Two are on the device before they are asked for.
        return prefetch(map(self._place, _as_arrays(make)), count=2)

    def _place(self, batch: dict) -> dict:
        # A last batch that the devices cannot share evenly is on all of them.
        even = len(batch["image"]) % self.replicas == 0
        where = self._split if even else self._copied
        return {name: jax.device_put(batch[name], where) for name in batch}

    def step(self, batch, *, number, rate):
        batch = {name: batch[name] for name in _INPUTS if name in batch}
        self._arrays, sums = self._step(
            self._arrays, self._bank, batch, jnp.float32(rate), jnp.int32(number)
        )
        return sums

    def validate(self, make, *, stop: Callable[[int], bool]):
        total = np.zeros(3)
        names = ("image", "boxes", "mask", "label")  # of others JAX knows no type
        kept = ({name: batch[name] for name in names} for batch in _as_arrays(make))
        for number, batch in enumerate(prefetch(map(self._place, kept), count=2)):
            if stop(number):
                return None
            total += np.asarray(self._sums(self._arrays, batch), np.float64)
        return objective.validation_means(total)

    def sync(self) -> None:
        for name, variables in _variables(self.state).items():
            for variable, value in zip(variables, self._arrays[name], strict=True):
                variable.assign(value)

    def restored(self) -> None:
        self._arrays = {
            # Copies: a jitted step may overwrite its arguments.
            name: [jax.device_put(jnp.array(v.value), self._copied) for v in variables]
            for name, variables in _variables(self.state).items()
        }

    def any_asked(self, ask, *, step):
        return ask()

    def wait_for_all(self) -> None:
        """There is one process."""

    def chief_first(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def check_agreement(self, *, step) -> None:
        """There is one process."""


def _as_arrays(make):
    """Batches of arrays: of NumPy as they are, of `tf.data` by its iterator."""
    found = make()
    return found.as_numpy_iterator() if hasattr(found, "as_numpy_iterator") else iter(found)


def _variables(state: TrainState) -> dict[str, list]:
    found = {
        "trained": state.model.trainable_variables,
        "others": state.model.non_trainable_variables,
        "optimizer": state.optimizer.variables,
    }
    if state.ema is not state.model:
        found["ema"] = state.ema.variables
    return found


def _make_step(state: TrainState, config: TrainConfig):
    model, optimizer = state.model, state.optimizer
    rate_at = [v.path for v in optimizer.variables].index(optimizer.learning_rate.path)
    # Where each variable of the average is among those of the model.
    places = {id(v): ("trained", i) for i, v in enumerate(model.trainable_variables)}
    places |= {id(v): ("others", i) for i, v in enumerate(model.non_trainable_variables)}
    averaged = [places[id(v)] for v in model.variables]

    def loss(trained, others, inputs, targets):
        outputs, others = model.stateless_call(trained, others, inputs, training=True)
        terms = objective.terms(
            outputs, targets, inputs["mask"], config=config.objective, covered=inputs["covered"]
        )
        total = jnp.mean(objective.total(terms, config=config.objective))
        return total, (others, objective.sums(outputs, targets, terms))

    def step(arrays, bank, batch, rate, number):
        shown = objective.prepare(batch, batch["labels"], config=config.objective, bank=bank)
        slopes, (others, sums) = jax.grad(loss, has_aux=True)(
            arrays["trained"], arrays["others"], shown["inputs"], shown["targets"]
        )
        of_optimizer = list(arrays["optimizer"])
        of_optimizer[rate_at] = rate
        trained, of_optimizer = optimizer.stateless_apply(of_optimizer, slopes, arrays["trained"])
        new = {"trained": trained, "others": others, "optimizer": of_optimizer}
        if "ema" in arrays:
            keep = optimizers.averaging_decay(number, ema=config.optimizer.ema)
            new["ema"] = [
                _average(mean, new[group][i], keep)
                for mean, (group, i) in zip(arrays["ema"], averaged, strict=True)
            ]
        return new, sums

    return step


def _average(mean, value, keep):
    if not jnp.issubdtype(value.dtype, jnp.floating):  # states of random generators
        return value
    return mean + (1.0 - keep) * (value - mean)


def _make_validation_step(state: TrainState):
    model = state.ema
    averaged = model is not state.model

    def sums(arrays, batch):
        if averaged:
            # The average is frozen: all of its variables are of one kind.
            trained, others = [], arrays["ema"]
        else:
            trained, others = arrays["trained"], arrays["others"]
        inputs = {name: batch[name] for name in ("image", "boxes", "mask")}
        outputs, _ = model.stateless_call(trained, others, inputs, training=False)
        logits, label = outputs["logits"], batch["label"]
        entropy = losses.cross_entropy(logits, jax.nn.one_hot(label, logits.shape[-1]))
        hits = jnp.argmax(logits, axis=-1) == label
        return jnp.stack([jnp.float32(len(label)), jnp.sum(hits), jnp.sum(entropy)])

    return sums
