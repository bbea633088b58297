"""Rules of the update that every backend's training step keeps (`step`, benchmarks/jax_step.py)."""

from keras import ops


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
