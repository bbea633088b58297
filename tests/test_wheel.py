"""A wheel holds all that an installation needs, and works where there is no checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("ran_tf", "tfds_builders")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel, built of a copy of the sources and unpacked."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "launch"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "NOTICE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, sources)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=sources, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def files_below(folder):
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(installed, package):
    recipes = {pathlib.Path("recipes", path) for path in files_below(ROOT / "launch")}
    asked = files_below(ROOT / package) | (recipes if package == "ran_tf" else set())
    assert asked == files_below(installed / package)


def test_a_command_finds_its_recipes_without_a_checkout(installed, tmp_path):
    ask = ["-m", "ran_tf.launch.train", "--flagfile=launch/quickstart.flags", "--helpshort"]
    said = subprocess.run(
        [sys.executable, *ask],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert str(installed / "ran_tf") in said.stdout  # whose flags these are
