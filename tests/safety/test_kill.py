"""SIGKILL at any moment: the run that goes on ends like one that was never killed, bit by bit."""

import json

import pytest

from tests.fixtures import kill_harness
from tests.fixtures.commands import ROOT, run_python


def kill(synthetic_dir, out, *, chains, kills, kinds, replicas=1, atol=0.0):
    flags = (f"--chains={chains}", f"--kills={kills}", f"--kinds={','.join(kinds)}")
    flags += (f"--replicas={replicas}", f"--atol={atol}")
    harness = ("-m", "tests.fixtures.kill_harness", synthetic_dir, out)
    done = run_python(*harness, *flags, cwd=ROOT, timeout=7200)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.large
def test_a_killed_run_is_the_same_to_the_last_bit(synthetic_dir, tmp_path):
    found = kill(synthetic_dir, tmp_path, chains=1, kills=2, kinds=("line", "write"))
    assert len(found["kills"]) == 2
    assert found["compared"] > 60 and not found["differences"], found


@pytest.mark.large
def test_more_than_thirty_kills(synthetic_dir, tmp_path):
    found = kill(synthetic_dir, tmp_path, chains=9, kills=4, kinds=kill_harness.KINDS)
    assert len(found["kills"]) >= 30, found
    assert {kind for kind, _ in found["kills"]} == set(kill_harness.KINDS)
    assert not found["differences"], found


@pytest.mark.large
def test_on_two_replicas_the_same_faces_and_metrics(synthetic_dir, tmp_path):
    """A step's loss is that of the run never killed: of the same faces, drawn on the same way."""
    kinds = ("line", "write", "time", "step")
    found = kill(synthetic_dir, tmp_path, chains=1, kills=4, kinds=kinds, replicas=2, atol=1e-5)
    print(found["kills"], found["largest"])
    assert len(found["kills"]) >= 3, found
    assert found["compared"] > 60 and not found["differences"], found
