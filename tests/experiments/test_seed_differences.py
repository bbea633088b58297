"""`experiments/seeds.py`: differences over seeds against counts by hand, and the command."""

import json
import pathlib
import sys

import numpy as np
import pytest

from ran_tf.weights import records
from tests.evaluation.test_report import make_predictions
from tests.exports.test_export import make_card, make_model

BENCHMARKS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture
def seeds(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import seeds

    return seeds


def test_the_mean_over_seeds_is_counted_by_hand(seeds):
    faces = np.arange(100)
    # The first model is wrong on faces 0..9, the second on none, the baselines on 0..19 and 80..99.
    models = [make_predictions(faces >= 10), make_predictions(faces >= 0)]
    baselines = [make_predictions(faces >= 20), make_predictions(faces < 80)]
    order = np.random.default_rng(0).permutation(models[0].id)
    baselines[1] = baselines[1].in_order_of(order)
    found = seeds.differences(models, baselines)
    assert list(found) == ["all", "occlusion", "pose_30"], "no face is turned beyond 45 degrees"
    assert [row["count"] for row in found.values()] == [100, 40, 20]
    assert found["all"]["accuracy"] == pytest.approx((0.10 + 0.20) / 2)
    assert found["occlusion"]["accuracy"] == pytest.approx((10 / 40 + 0) / 2)
    assert found["pose_30"] == {"count": 20, "accuracy": 0.0, "accuracy_ci95": [0.0, 0.0]}
    # 30 faces of 100 have a difference of one half: the standard error is that of a share of .3.
    low, high = found["all"]["accuracy_ci95"]
    assert high - low == pytest.approx(2 * 1.96 * 0.5 * np.sqrt(0.3 * 0.7 / 100), rel=0.08)


@pytest.mark.large
def test_the_command(seeds, synthetic_dir, tmp_path, monkeypatch, capsys):
    card, run = make_card(dataset="synthetic_faces"), tmp_path / "run"
    records.save_best(run, model=make_model(), card=card, metrics={"epoch": 1})

    def compare(baselines):
        given = [f"--model={run}", f"--baseline={baselines}", f"--data_dir={synthetic_dir}"]
        given += ["--split=test[:16]", f"--out={tmp_path / 'x.json'}"]
        monkeypatch.setattr(sys, "argv", ["seeds.py", *given])
        seeds.main()

    compare(run)
    found = json.loads((tmp_path / "x.json").read_text())["differences"]
    assert found["all"] == {"count": 16, "accuracy": 0.0, "accuracy_ci95": [0.0, 0.0]}
    with pytest.raises(SystemExit):
        compare(f"{run},{run}")
    assert "must name as many" in capsys.readouterr().err
