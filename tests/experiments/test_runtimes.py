"""How runtimes are compared: in turns, on the same regions."""

import keras
import numpy as np
import pytest

from experiments import runtimes


def test_each_runtime_has_a_row_that_says_how_far_its_answers_are_off(monkeypatch):
    monkeypatch.setattr(runtimes, "PAUSE", 0.0)
    served = {
        ("SavedModel", "float32"): lambda regions: regions.mean(axis=(1, 2, 3)),
        ("openvino", "mixed_bfloat16"): lambda regions: regions.mean(axis=(1, 2, 3)) + 0.25,
    }
    rows = runtimes.measure(served, np.ones((3, 2, 8, 8, 3), np.float32), repeats=20)
    assert [(r["runtime"], r["batch"], r["difference"]) for r in rows] == [
        ("SavedModel", 3, 0.0),
        ("openvino", 3, 0.25),
    ]
    assert all(row["ms_p99"] >= row["ms_p50"] > 0 for row in rows)


@pytest.mark.large
def test_the_runtimes_say_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    model, card = runtimes.random_network(side=32, image=24, k=3)
    served = runtimes.load_all(model, card, folder=tmp_path)
    regions = np.random.default_rng(0).uniform(0, 255, (3, 3, 32, 32, 3)).astype(np.float32)
    answers = {key: served[key](regions) for key in served if key[1] == "float32"}
    assert len(answers) >= 2 and np.ptp(answers["SavedModel", "float32"]) > 1e-3
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["SavedModel", "float32"], atol=1e-4)
