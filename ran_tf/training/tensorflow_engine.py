"""Training on TensorFlow, under any tf.distribute strategy."""

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf import backend
from ran_tf.augment import bank as banks
from ran_tf.config import TrainConfig
from ran_tf.data import ops
from ran_tf.models import losses, objective
from ran_tf.training import optimizers, workers
from ran_tf.training.state import TrainState, create_state


class TensorFlowEngine:
    """See `engine.Engine`.

    Args:
      config: the run.
      arguments: of `RegionAttentionNetwork`.
      strategy: all local devices when None.
    """

    def __init__(
        self,
        config: TrainConfig,
        arguments: dict,
        *,
        strategy: tf.distribute.Strategy | None = None,
    ):
        backend.require_tensorflow()
        self._strategy = strategy or workers.local_strategy()
        self.replicas = self._strategy.num_replicas_in_sync
        self.writes = workers.is_chief(self._strategy)
        synchronized = config.sync_batch_norm and self.replicas > 1
        with self._strategy.scope():
            self.state = create_state({**arguments, "synchronized": synchronized}, config=config)
        self._step = make_train_step(self.state, config=config, strategy=self._strategy)
        self._sums = make_validation_step(self.state.ema, strategy=self._strategy)

    def batches(self, make):
        found = workers.distribute(self._strategy, _as_dataset(make))
        # Traced for a batch of any size before it meets one: a graph for the size that comes first
        # rounds otherwise, and a resumed run begins with another batch.
        self._step.get_concrete_function(found.element_spec, tf.TensorSpec([], tf.int64))
        return found

    def step(self, batch, *, number, rate):
        self.state.optimizer.learning_rate = rate
        return self._step(batch, tf.constant(number, tf.int64))

    def validate(self, make, *, stop: Callable[[int], bool]):
        found = workers.distribute(self._strategy, _as_dataset(make))
        self._sums.get_concrete_function(found.element_spec)  # as the step's
        total = np.zeros(3)
        for number, batch in enumerate(found):
            if stop(number):
                return None
            total += self._sums(batch).numpy()
        return objective.validation_means(total)

    def sync(self) -> None:
        """The variables are the state."""

    restored = sync

    def any_asked(self, ask, *, step):
        return workers.any_asked(self._strategy, ask, step=step)

    def wait_for_all(self):
        workers.wait_for_all(self._strategy)

    def chief_first(self) -> contextlib.AbstractContextManager:
        return workers.chief_first(self._strategy)

    def check_agreement(self, *, step):
        workers.check_agreement(self._strategy, self.state.model.weights, step=step)


def _as_dataset(make):
    """`make` of `tf.data`, where that of a run gives batches of NumPy arrays."""

    def made(share):
        batches = make(share)
        if isinstance(batches, tf.data.Dataset):
            return batches
        specs = {
            name: tf.TensorSpec([None, *values.shape[1:]], tf.as_dtype(values.dtype))
            for name, values in next(iter(batches)).items()
        }
        fed = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=specs)
        return ops.untuned(fed.prefetch(2))

    return made


def make_train_step(state: TrainState, *, config: TrainConfig, strategy: tf.distribute.Strategy):
    """Compiles `step(batch, number) -> {name: f32[]}`: `objective.sums` over the global batch.

    `number` is the step's number, i64[]; the batch is distributed by `strategy`. The learning rate
    is read from the optimizer. Losses are divided by the size of the global batch, so that an
    uneven last batch weighs its examples as one device would.
    """

    bank = _bank_on_each_device(config, strategy=strategy)

    def replica_step(batch, bank):
        shown = objective.prepare(batch, batch["labels"], config=config.objective, bank=bank)
        inputs, targets = shown["inputs"], shown["targets"]
        faces = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, tf.cast(tf.shape(targets)[0], tf.float32)
        )
        with tf.GradientTape() as tape:
            outputs = state.model(inputs, training=True)
            terms = objective.terms(
                outputs,
                targets,
                inputs["mask"],
                config=config.objective,
                covered=inputs["covered"],
            )
            loss = tf.reduce_sum(objective.total(terms, config=config.objective)) / faces
        variables = state.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        state.optimizer.apply(gradients, variables)
        return objective.sums(outputs, targets, terms)

    def update_average(number):
        keep = optimizers.averaging_decay(number, ema=config.optimizer.ema)
        for mean, value in zip(state.ema.weights, state.model.weights, strict=True):
            if value.dtype.startswith("float"):
                mean.assign(mean + (1.0 - keep) * (value - mean))
            else:
                mean.assign(value)

    # The last batch of an epoch is smaller: without relaxed shapes it would be traced again.
    @tf.function(reduce_retracing=True)
    def step(batch, number):
        sums = strategy.run(replica_step, args=(batch, bank))
        if state.ema is not state.model:
            update_average(number)
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    return step


def _bank_on_each_device(config: TrainConfig, *, strategy: tf.distribute.Strategy):
    """The drawn occluders, once a device: no part of the graph, nor of a checkpoint."""
    arrays = banks.of_objective(config.objective, seed=config.seed)
    if strategy.num_replicas_in_sync == 1:
        return {name: tf.constant(array) for name, array in arrays.items()}
    devices = strategy.extended.worker_devices

    def place(context):
        with tf.device(devices[context.replica_id_in_sync_group % len(devices)]):
            return {name: tf.constant(array) for name, array in arrays.items()}

    return strategy.experimental_distribute_values_from_function(place)


def make_validation_step(model, *, strategy: tf.distribute.Strategy):
    """Compiles `sums(batch) -> f32[3]`: faces, those that are right, their cross-entropy."""

    def replica_sums(batch):
        faces = tf.shape(batch["label"])[0]
        # A last batch may have no face for some replicas, and TensorFlow's convolutions on a CPU
        # get the shape of a batch of none wrong: an empty face stands in and is not counted.
        spare = tf.cast(tf.equal(faces, 0), tf.int32)
        inputs = {name: _with_spare(batch[name], spare) for name in ("image", "boxes", "mask")}
        logits = model(inputs)["logits"][:faces]
        hits = tf.equal(tf.argmax(logits, axis=-1), batch["label"])
        entropy = losses.cross_entropy(logits, tf.one_hot(batch["label"], logits.shape[-1]))
        return tf.stack(
            [
                tf.cast(tf.size(batch["label"]), tf.float32),
                tf.reduce_sum(tf.cast(hits, tf.float32)),
                tf.reduce_sum(entropy),
            ]
        )

    @tf.function(reduce_retracing=True)
    def sums(batch):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(replica_sums, args=(batch,)), axis=None
        )

    return sums


def _with_spare(rows, spare):
    """Rows with `spare`, i32[], more of zeros behind them."""
    return tf.pad(rows, [[0, spare]] + [[0, 0]] * (len(rows.shape) - 1))
