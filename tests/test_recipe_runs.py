"""Recipes on the builders' dummy data: prepare, one epoch of a step or two, one report.

Sizes are cut down, everything else is the recipe's. One recipe in the suite, all with `-m large`.
"""

import json
import pathlib
import subprocess
import sys

import pytest

from ran_tf import specs
from ran_tf.launch.prepare import prepare
from tests import affectnet_files, ferplus_files, raf_db_files, test_sfew

ROOT = pathlib.Path(__file__).parents[1]
IN_SUITE = "raf_db_resnet18_ran"


def write_ferplus(root):
    ferplus_files.write_lists(root / "ran_lists" / "FERplus_dir")
    return ferplus_files.write_folders(root / "raw")


def write_raf_db(root):
    raf_db_files.write_lists(root / "ran_lists" / "RAF_DB_dir")
    return raf_db_files.write(root / "basic")


def write_affectnet(root):
    return affectnet_files.write_lists(affectnet_files.write_original(root / "raw"))


WRITE = {
    "ferplus": write_ferplus,
    "raf_db": write_raf_db,
    "affectnet": write_affectnet,
    "sfew": test_sfew.write,
}


def recipes():
    for path in sorted((ROOT / "launch").glob("*.flags")):
        if path.stem != "quickstart":  # see test_quickstart
            marks = () if path.stem == IN_SUITE else pytest.mark.large
            yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("recipe", list(recipes()))
def test_recipe_trains_and_reports(recipe, tmp_path):
    dataset = recipe.read_text().split("--dataset=")[1].splitlines()[0]
    family = dataset.split("/")[0]
    data_dir = f"--data_dir={tmp_path / 'tfds'}"
    prepare(
        dataset=dataset,
        manual_dir=str(WRITE[family](tmp_path)),
        data_dir=str(tmp_path / "tfds"),
    )

    def run(module, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", f"ran_tf.launch.{module}", *arguments, data_dir],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    workdir = f"--workdir={tmp_path / 'run'}"
    run(
        "train",
        f"--flagfile={recipe}",
        workdir,
        "--epochs=1",
        "--batch_size=8",
        "--image_size=32",
        "--region_size=32",
        "--learning_rate=0.001",
        "--train_split=train",
        "--validation_split=validation",
    )
    split = "test" if family in ("ferplus", "raf_db") else "validation"
    out = tmp_path / "report"
    run("evaluate", workdir, f"--dataset={dataset}", f"--split={split}", f"--out={out}")
    report = json.loads((out / "report.json").read_text())
    assert set(report["subsets"]) == set(specs.SUBSETS)
    assert report["subsets"]["all"]["count"] > 0
    assert tuple(report["labels"]) == specs.LABELS[family]
