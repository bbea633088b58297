"""`experiments/minutes.py`: minutes and accuracies of a recipe of two runs."""

import json
import pathlib
import sys
import time

import pytest

from ran_tf.weights import records
from tests.fixtures.tiny_runs import make_config

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture
def minutes(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import minutes

    return minutes


def test_the_second_run_begins_where_the_first_ends(
    minutes, synthetic_dir, tmp_path, monkeypatch, capsys
):
    from ran_tf.training import loop

    began = time.monotonic()
    trained = loop.train(make_config(synthetic_dir), tmp_path / "run")
    took = (time.monotonic() - began) / 60
    first = minutes.read_run(trained.workdir)
    assert len(first) == 2
    assert 0 <= first[0][0] < first[1][0] < took + 1 / 30  # starts are whole seconds
    assert max(accuracy for _, accuracy in first) == pytest.approx(
        100 * trained.metrics["validation_accuracy"]
    )
    out = tmp_path / "minutes.png"
    both = f"Both={trained.workdir},{trained.workdir}"
    monkeypatch.setattr(sys, "argv", ["minutes.py", both, f"--out={out}"])
    minutes.main()
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert capsys.readouterr().out.count("min") == 4
    joined = minutes.read_recipe([str(trained.workdir)] * 2)
    assert joined[:2] == first
    assert joined[2:] == [(first[1][0] + m, accuracy) for m, accuracy in first]
    # Resumed: nobody wrote down how long it rested.
    written = json.loads((trained.workdir / records.RUN).read_text())
    (trained.workdir / records.RUN).write_text(json.dumps({"starts": written["starts"] * 2}))
    with pytest.raises(ValueError, match="at one stretch. Received: 2"):
        minutes.read_run(trained.workdir)
