"""Update rules: what the recipes mean by theirs, as Keras optimizers for any backend and strategy.

Two traps of Keras are avoided here: its SGD decays weights apart from the gradient, while the
recipes mean PyTorch's, which adds the decay to the gradient before momentum; and it clips gradients
before those of the replicas are summed.
"""

import keras
from keras import ops

from ran_tf import registry
from ran_tf.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a run, built for a network's trainable weights.

    Raises:
      InvalidArgument: for a name that is not registered.
    """
    optimizer = registry.OPTIMIZERS.find(config.name, argument="name")(config)
    if isinstance(optimizer, keras.optimizers.AdamW):
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in model.trainable_variables if not is_decayed(v)]
        )
    optimizer.build(model.trainable_variables)
    return optimizer


def is_decayed(variable) -> bool:
    """Whether weight decay applies: to kernels, never to biases and batch normalisation."""
    return variable.path.split("/")[-1].endswith("kernel")


def averaging_decay(number, *, ema: float):
    """How much of the moving average of the weights stays at a step.

    Early on the average follows quickly, so that it forgets the random start.

    Args:
      number: f32[] or i32[], steps before this one.
      ema: `OptimizerConfig.ema`, which is reached in the long run.

    Returns:
      f32[]
    """
    number = ops.cast(number, "float32")
    return ops.minimum(ema, (1.0 + number) / (10.0 + number))


class _OfTheWholeBatch(keras.optimizers.Optimizer):
    """Clips what the gradients of all replicas sum to; before Keras' own update.

    With one region the attention has no gradient: its weights do not move.
    """

    clip_sum_norm = 0.0

    def apply(self, grads, trainable_variables=None):
        variables = trainable_variables or self._trainable_variables
        grads = [
            ops.zeros_like(v) if g is None else g for g, v in zip(grads, variables, strict=True)
        ]
        replicas = _replicas()
        if self.clip_sum_norm:
            grads = _sum_over_replicas(grads, replicas=replicas)
            norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads))
            # Keras sums over the replicas once more: hence the division.
            scale = self.clip_sum_norm / ops.maximum(norm, self.clip_sum_norm) / replicas
            grads = [g * ops.cast(scale, g.dtype) for g in grads]
        super().apply(self.decayed(grads, variables, replicas=replicas), trainable_variables)

    def decayed(self, grads, variables, *, replicas: int):
        """The gradients with what weight decay adds to them."""
        return grads


@keras.saving.register_keras_serializable("ran_tf")
class SGD(_OfTheWholeBatch, keras.optimizers.SGD):
    """SGD as PyTorch has it: `g = gradient + weight_decay w` of kernels, `v = momentum v + g`.

    Args:
      learning_rate, momentum: as of `keras.optimizers.SGD`.
      weight_decay: added to the gradients of kernels, never of biases and batch normalisation.
      clip_sum_norm: largest norm of the gradient of the global batch; 0 is no clipping.
    """

    def __init__(
        self,
        learning_rate=0.1,
        momentum=0.9,
        *,
        weight_decay: float = 0.0,
        clip_sum_norm: float = 0.0,
        **kwargs,
    ):
        super().__init__(learning_rate, momentum, **kwargs)
        self.gradient_decay, self.clip_sum_norm = weight_decay, clip_sum_norm

    def decayed(self, grads, variables, *, replicas):
        share = self.gradient_decay / replicas
        return [
            g + share * v if share and is_decayed(v) else g
            for g, v in zip(grads, variables, strict=True)
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "weight_decay": self.gradient_decay,
            "clip_sum_norm": self.clip_sum_norm,
        }


@keras.saving.register_keras_serializable("ran_tf")
class AdamW(_OfTheWholeBatch, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that clips after the replicas are summed.

    Args:
      clip_sum_norm: largest norm of the gradient of the global batch; 0 is no clipping.
      kwargs: as of `keras.optimizers.AdamW`.
    """

    def __init__(self, *args, clip_sum_norm: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.clip_sum_norm = clip_sum_norm

    def get_config(self):
        return {**super().get_config(), "clip_sum_norm": self.clip_sum_norm}


def sgd(config: OptimizerConfig) -> SGD:
    """The recipes' own."""
    return SGD(
        config.learning_rate,
        config.momentum,
        weight_decay=config.weight_decay,
        clip_sum_norm=config.clip_norm,
    )


def adamw(config: OptimizerConfig) -> AdamW:
    """Adam with decay apart from the gradient, of kernels only."""
    return AdamW(
        config.learning_rate, weight_decay=config.weight_decay, clip_sum_norm=config.clip_norm
    )


def _replicas() -> int:
    if keras.backend.backend() != "tensorflow":
        return 1  # a jitted step of JAX sees the global batch
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def _sum_over_replicas(grads, *, replicas: int):
    if replicas == 1:
        return grads
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, grads)
