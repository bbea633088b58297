"""The learning rate as a function of the step."""

import math

from ran_tf.checks import unknown
from ran_tf.config import OptimizerConfig


def learning_rate(step: int, *, total_steps: int, config: OptimizerConfig) -> float:
    """The learning rate of step `step` (0-based) of `total_steps`.

    A linear ramp over the first `config.warmup` of all steps, then "cosine" to zero, "step" (x.1
    at each milestone, as the released recipes) or "constant".
    """
    warmup_steps = round(config.warmup * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.schedule == "cosine":
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
    if config.schedule == "step":
        passed = sum(step >= milestone * total_steps for milestone in config.milestones)
        return config.learning_rate * 0.1**passed
    if config.schedule == "constant":
        return config.learning_rate
    raise unknown("optimizer.schedule", config.schedule)
