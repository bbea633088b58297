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
from ran_tf import vocabulary

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "ran_tf").rglob("*.py"), *(ROOT / "tfds_builders").rglob("*.py")])

# The rooms of the house: one imports only from those below it. docs/rooms.md draws them.
FLOORS = (
    "launch",
    "benchmark demo",
    "serving",
    "evaluation",
    "training",
    "inference",
    "exports",
    "data",
    "tfds_builders faces",
    "weights",
    "models",
    "regions",
    "augment",
    "images safety",
    "config",
    "settings",
    "registry",
    "backend checks vocabulary",
)


def imports(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def floor(room):
    return next(i for i, names in enumerate(FLOORS) if room in names.split())


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    def room(parts):
        return parts[0] if parts[0] == "tfds_builders" else parts[1]

    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts == ("ran_tf", "__init__"):  # the front door: what it names is loaded on first use
        return
    for module in imports(path):
        names = module.split(".")
        if names[0] not in ("ran_tf", "tfds_builders") or names[1:2] == ["__version__"]:
            continue
        public = names[0] == "ran_tf" and names[1:2] and names[1] in ran_tf.__all__
        if (len(names) == 1 and names[0] == "ran_tf") or (public and names[1] != "presets"):
            continue
        assert room(names) == room(parts) or floor(room(names)) > floor(room(parts)), module


def test_files_import_in_no_circle():
    files = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in SOURCES}
    needs = {
        name: {m for m in imports(path) if m in files}
        | {m.rpartition(".")[0] for m in imports(path) if m.rpartition(".")[0] in files}
        for name, path in files.items()
    }
    while free := [name for name, needed in needs.items() if not needed & needs.keys() - {name}]:
        for name in free:
            del needs[name]
    assert not needs, "these import each other, or what does"


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


def test_a_release_has_one_number():
    heads = re.findall(
        r"(?m)^## (\S+), (?:unreleased|\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text()
    )
    (cited,) = re.findall(r"(?m)^version: (\S+)$", (ROOT / "CITATION.cff").read_text())
    assert heads[0] == cited == ran_tf.__version__


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
    assert list(vocabulary.LABELS["ferplus"]) == [
        *("neutral", "happiness", "surprise", "sadness"),
        *("anger", "disgust", "fear", "contempt"),
    ]
    assert list(vocabulary.LABELS["affectnet"]) == [
        *("neutral", "happy", "sad", "surprise"),
        *("fear", "disgust", "anger", "contempt"),
    ]
    assert list(vocabulary.LABELS["fer2013"]) == [
        *("angry", "disgust", "fear", "happy"),
        *("sad", "surprise", "neutral"),
    ]
    assert list(vocabulary.LABELS["raf_db"]) == [
        *("surprise", "fear", "disgust", "happiness"),
        *("sadness", "anger", "neutral"),
    ]


def test_every_public_name_is_there():
    for name in ran_tf.__all__:
        assert getattr(ran_tf, name) is not None
    with pytest.raises(AttributeError, match="Networks"):
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
    assert set(asked) == set(extras) - {"all", "benchmark", "docs", "test"}
