"""Balanced training on an uneven AffectNet: every class is drawn alike, where it is asked for."""

import numpy as np
import pytest

from ran_tf.config import DataConfig
from ran_tf.data import pipeline, prepared
from tests.fixtures import affectnet_files as files
from tests.fixtures.affectnet_builds import build

UNEVEN = {0: 90, 3: 5, 6: 5}  # faces by expression


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A training and a validation split of 100 faces each, 90 of them neutral."""
    folder = tmp_path_factory.mktemp("uneven")
    expressions = tuple(e for e, count in UNEVEN.items() for _ in range(count))
    raw = files.write_numbered(
        folder / "raw", {"train": expressions, "validation": expressions}, side=8
    )
    build(raw, folder / "out", config="numbered_8")
    return DataConfig(
        name="affectnet/numbered_8", data_dir=str(folder / "out"), image_size=(8, 8), balanced=True
    )


def frequencies(batches):
    labels = np.concatenate([batch["labels"].numpy() for batch in batches])
    return {i: int(n) for i, n in enumerate(labels.sum(axis=0)) if n}


def test_balanced_training_draws_every_class_alike(uneven):
    dataset = prepared.open_dataset(uneven)
    train = pipeline.TrainingData(uneven, dataset, batch_size=25, seed=0)
    epochs = [frequencies(train.epoch(epoch)) for epoch in range(6)]
    assert all(sum(epoch.values()) == 100 for epoch in epochs)  # an epoch is no longer for it
    for expression in UNEVEN:
        drawn = sum(epoch[expression] for epoch in epochs)
        # Binomial with p = 1/3 of 600: 200 +- 4 standard deviations of 11.5; unbalanced 540 or 30.
        assert abs(drawn - 200) < 46
    assert set().union(*epochs) == set(UNEVEN)


def test_training_is_as_released_unless_asked_and_validation_always(uneven):
    dataset = prepared.open_dataset(uneven)
    batches = list(pipeline.eval_batches(uneven, dataset, split="validation", batch_size=32))
    assert frequencies(batches) == UNEVEN
    ids = np.concatenate([batch["id"].numpy() for batch in batches])
    assert len(set(ids)) == 100
    # Without the authors' lists no face is in a subset.
    for name in ("occlusion", "pose_30", "pose_45"):
        assert not np.concatenate([batch[name].numpy() for batch in batches]).any()

    plain = DataConfig(**{**vars(uneven), "balanced": False})
    train = pipeline.TrainingData(plain, dataset, batch_size=25, seed=0)
    assert frequencies(train.epoch(0)) == UNEVEN
