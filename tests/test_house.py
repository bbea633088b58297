"""The rules that the layout itself must keep."""

import ast
import configparser
import os
import pathlib
import re
import subprocess
import sys

import pytest

import ran_tf
from ran_tf import specs

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "ran_tf").rglob("*.py"), *(ROOT / "tfds_builders").rglob("*.py")])

# A module imports only what stands further to the right.
LAYERS = [
    {"launch"},
    {"benchmark", "demo"},
    {"training", "evaluation", "predictor", "sources"},
    {"serving"},
    {"data", "models", "metrics"},
    {"objective"},
    {"losses"},
    {"regions", "faces"},
    {"augment"},
    {"annotate"},
    {
        "backend",
        "card",
        "checks",
        "config",
        "escaping",
        "export_folder",
        "framing",
        "registry",
        "resampling",
        "settings",
        "specs",
    }
    | {"files", "images", "photos", "prediction", "reader_process", "video", "video_child"},
]


def imports(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(name):
    return next(i for i, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    for module in imports(path):
        first, *rest = module.split(".")
        if parts[0] == "tfds_builders":
            assert first != "ran_tf", module
        elif first == "tfds_builders":
            assert parts[1:] in (
                ("data", "prepare"),
                ("data", "prepared"),
                ("launch", "prepare"),
            ), module
        elif first == "ran_tf" and rest and parts[1] != "__init__":
            assert layer(rest[0]) >= layer(parts[1]), f"{path} imports {module}"


def test_both_packages_read_images_alike():
    first, second = (
        (ROOT / name / "images.py").read_text() for name in ("ran_tf", "tfds_builders")
    )
    assert first == second, "copy one over the other"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_flags_are_read_in_launch_only(path):
    if "launch" not in path.parts:
        assert not any(m.startswith("absl.flags") for m in imports(path))


def test_portable_modules_import_no_tensorflow_at_the_top():
    for name in ("models", "regions"):
        for path in (ROOT / "ran_tf" / name).rglob("*.py"):
            tree = ast.parse(path.read_text())
            for node in tree.body:
                if isinstance(node, ast.Import):
                    assert not any(a.name.startswith("tensorflow") for a in node.names), path


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^(python3\.11 .*pytest.*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text()
    # pip only warns of an extra that does not exist, and its tests would then skip.
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    asked = re.search(r"\[(.*?)\]", commands[0])[1].split(",")
    assert set(asked) <= set(settings["options.extras_require"]) and "torch" in asked


def test_a_wheel_has_every_package():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split()) - {"ran_tf.recipes"}
    there = {".".join(p.relative_to(ROOT).parts[:-1]) for p in SOURCES if p.name == "__init__.py"}
    assert listed == there


def test_the_readmes_python_runs_and_prints_what_it_says(tmp_path):
    """The fenced python of the README, followed by its output in the next block."""
    text = (ROOT / "README.md").read_text()
    code, said = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", text, re.S).groups()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == said.strip()


def test_emotion_orders_are_those_of_the_papers():
    """A model read in the wrong order is worthless: these are written out once more here."""
    assert specs.LABELS["ferplus"] == (
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
    )
    assert specs.LABELS["affectnet"] == (
        "neutral",
        "happy",
        "sad",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "contempt",
    )
    assert specs.LABELS["fer2013"] == (
        "angry",
        "disgust",
        "fear",
        "happy",
        "sad",
        "surprise",
        "neutral",
    )
    assert specs.LABELS["raf_db"] == (
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
        "neutral",
    )


def test_every_public_name_is_there():
    for name in ran_tf.__all__:
        assert getattr(ran_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Networks'"):
        _ = ran_tf.Networks


def test_every_dependency_has_its_licence_listed():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    asked = "\n".join([settings["options"]["install_requires"], *extras.values()])
    table = (ROOT / "LICENSES-OF-DEPENDENCIES.md").read_text()

    def normal(names):
        return {re.sub(r"[-_.]+", "-", name).lower() for name in names}

    listed = normal(re.findall(r"(?m)^\| (\S+) \|", table))
    assert normal(re.findall(r"(?m)^([A-Za-z][\w.-]*)", asked)) - {"ran-tf"} <= listed


def test_the_extra_all_has_what_a_user_may_ask_for():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    asked = re.fullmatch(r"\s*ran_tf\[(.*)\]\s*", extras["all"])[1].split(",")
    assert set(asked) == set(extras) - {"all", "benchmark", "test"}
