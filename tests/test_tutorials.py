"""The tutorials of the documentation, run to their end."""

import pathlib
import runpy

import pytest
from tensorflow_datasets.core import constants

from ran_tf import registry

TUTORIALS = sorted((pathlib.Path(__file__).parents[1] / "docs" / "tutorials").glob("*.py"))


@pytest.mark.large
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_the_tutorial_runs(tutorial, synthetic_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DATA_DIR", synthetic_dir)
    monkeypatch.chdir(tmp_path)
    for kept in vars(registry).values():
        if isinstance(kept, registry.Registry):
            # What a tutorial registers is forgotten.
            monkeypatch.setattr(kept, "_theirs", dict(kept._theirs))
    runpy.run_path(str(tutorial))
    assert any(tmp_path.iterdir()), "a picture, report or preset"
