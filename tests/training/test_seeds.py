"""A seed settles everything random of a run, each by itself."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.data import prepared
from ran_tf.settings import replaced
from ran_tf.training import loop, run
from tests.fixtures import tiny_runs


@pytest.fixture(scope="module")
def runs(synthetic_dir, tmp_path_factory):
    """What each of three runs, of the seeds 3, 3 and 4, is about to use."""
    changes = {"data.regions.k": 3, "model.dropout": 0.5, "epochs": 1, "batch_size": 20}
    config = replaced(tiny_runs.make_config(synthetic_dir), changes)
    return [
        _start(dataclasses.replace(config, seed=seed), tmp_path_factory.mktemp(f"seed{seed}"))
        for seed in (3, 3, 4)
    ]


def _start(config, workdir):
    made = run.start(
        config,
        workdir,
        dataset=prepared.open_dataset(config.data),
        strategy=tf.distribute.OneDeviceStrategy("CPU:0"),
        init_weights=None,
        hooks=loop.Hooks(),
        checkpoint_seconds=300,
        check=lambda: None,
    )
    batch, model = next(iter(made.data.epoch(0))), made.engine.state.model
    (dropout,) = (x for x in model.layers if isinstance(x, keras.layers.Dropout))
    # All that augmentation draws from (`test_augment`).
    return {
        "order": batch["image"].numpy(),
        "augmentation": batch["key"].numpy(),
        "regions": batch["boxes"].numpy(),
        "initialisation": np.concatenate(
            [w.numpy().ravel() for w in made.engine.state.model.weights]
        ),
        "dropout": dropout(np.ones((8, 16), np.float32), training=True).numpy(),
    }


@pytest.mark.parametrize("what", ["order", "augmentation", "regions", "initialisation", "dropout"])
def test_a_seed_settles(runs, what):
    one, same, other = (r[what] for r in runs)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
