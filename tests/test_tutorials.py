"""The tutorials of the documentation, each run to its end as a process of its own.

RAN_TF_PICTURES=docs/pictures puts the pictures that the pages show into that folder.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.fixtures import real_data

ROOT = pathlib.Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))


@pytest.mark.large
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_the_tutorial_runs_and_makes_its_pictures(tutorial, synthetic_dir, tmp_path):
    if tutorial.stem == "ferplus":
        (tmp_path / "ferplus").symlink_to(real_data.require("ferplus"))
        (tmp_path / "ran_lists").symlink_to(real_data.require("ran_lists"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Pictures for the pages are of all drawn faces, not of the few of the tests.
    if "RAN_TF_PICTURES" not in os.environ:
        environment["TFDS_DATA_DIR"] = synthetic_dir
    subprocess.run(
        [sys.executable, tutorial], cwd=tmp_path, env=environment, check=True, timeout=1800
    )
    shown = set(re.findall(r"\.\./pictures/([\w.]+)\)", tutorial.read_text()))
    assert shown <= {path.name for path in tmp_path.iterdir()}
    if "RAN_TF_PICTURES" in os.environ:
        for name in shown:
            shutil.copy(tmp_path / name, ROOT / os.environ["RAN_TF_PICTURES"] / name)
