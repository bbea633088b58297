"""A training run's work directory and its Predictor."""

import pytest

import ran_tf
from ran_tf.weights import records
from tests.exports.test_export import make_card, make_model


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """What a finished epoch leaves."""
    folder, card = tmp_path_factory.mktemp("run"), make_card(crop_margin=0.2, crop_drop=0.1)
    records.save_best(folder, model=make_model(), card=card, metrics={"epoch": 1})
    return folder


@pytest.fixture(scope="module")
def from_workdir(workdir):
    return ran_tf.Predictor(workdir, batch_size=2)
