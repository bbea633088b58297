"""Learning rates at known steps."""

import numpy as np
import pytest

from ran_tf.config import OptimizerConfig
from ran_tf.training.schedule import learning_rate


def rates(steps, total, **kwargs):
    config = OptimizerConfig(learning_rate=1.0, **kwargs)
    return [learning_rate(s, total_steps=total, config=config) for s in steps]


def test_warmup_then_cosine():
    got = rates([0, 4, 9, 10, 55, 99], 100, schedule="cosine", warmup=0.1)
    cosine = [0.5 * (1 + np.cos(np.pi * s / 90)) for s in (0, 45, 89)]
    np.testing.assert_allclose(got, [0.1, 0.5, 1.0, *cosine], rtol=1e-6)


def test_steps_of_the_released_recipe():
    """x.1 at 30, 50 and 80 % of the epochs."""
    got = rates([0, 17, 18, 29, 30, 47, 48, 59], 60, schedule="step", warmup=0.0)
    np.testing.assert_allclose(got, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)


def test_constant():
    assert rates([0, 99], 100, schedule="constant", warmup=0.0) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("argument", "value"),
    [("learning_rate", 0.0), ("learning_rate", float("nan")), ("ema", 1.5), ("schedule", "poly")],
)
def test_nonsense_is_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        OptimizerConfig(**{argument: value})
