"""Recipes: each parses to a run, is self-contained, and opens as the house asks."""

import operator
import pathlib
import re

import pytest

import ran_tf
from ran_tf import registry
from ran_tf.config import TrainConfig
from ran_tf.launch import flags as launch_flags
from ran_tf.launch import recipes
from ran_tf.settings import settings_of
from tests.fixtures.commands import run_python

ROOT = pathlib.Path(__file__).parents[2]
RECIPES = sorted((ROOT / "launch").glob("*.flags"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_recipe_is_a_run(parse, recipe):
    lines = recipe.read_text().splitlines()
    assert lines[0].startswith("# ") and any("python -m ran_tf" in line for line in lines)
    given = [line for line in lines if line and not line.startswith("#")]
    assert not any("flagfile" in line for line in given)
    config = launch_flags.train_config(parse("--workdir=x", *given))
    assert config.epochs >= 1
    assert config.data.name.split("/")[0] in ran_tf.LABELS
    assert config.model.size[0] >= 32


def test_flags_reach_the_configuration(parse):
    values = parse(
        "--workdir=x",
        "--num_regions=8",
        "--region_variant=released",
        "--attention=softmax",
        "--norelation",
        "--preprocessing=unit",
        "--milestones=0.3,0.5",
        "--region_size=96",
        "--margin=0.1",
        "--mixup=0.2",
        "--sync_batch_norm=false",
        "--trunk=shared",
        "--trunk_split=layer2_1_relu",
        "--region_map=7",
    )
    config = launch_flags.train_config(values)
    assert config.data.regions.k == 8 and config.data.regions.variant == "released"
    assert config.model.attention == "softmax" and config.model.relation is False
    assert config.model.preprocessing == "unit"
    assert config.optimizer.milestones == (0.3, 0.5)
    assert config.model.size == (96, 96)
    assert config.objective.margin == 0.1 and config.objective.mixup == 0.2
    assert config.model.trunk == "shared" and config.model.split == "layer2_1_relu"
    assert config.model.region_map == (7, 7) and not config.sync_batch_norm
    config = launch_flags.train_config(parse("--workdir=x"))
    assert config.model.split is None and config.model.region_map is None


def test_a_recipe_is_found_where_no_such_file_is_on_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = recipes.find("--flagfile=launch/quickstart.flags")
    assert (
        pathlib.Path(found.removeprefix("--flagfile=")).read_text().startswith("# The whole path")
    )
    assert recipes.find("--epochs=1") == "--epochs=1"
    with pytest.raises(SystemExit):
        recipes.find("--flagfile=launch/nope.flags")
    said = capsys.readouterr().err
    assert re.search(r"received 'launch/nope\.flags': .*quickstart\.flags", said)


def test_a_recipe_in_the_home_directory_comes_before_the_packaged_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "quickstart.flags").write_text("--epochs=3\n")
    for arguments in (["--flagfile=~/quickstart.flags"], ["--flagfile", "~/quickstart.flags"]):
        # Which absl expands, too.
        assert recipes.expand(arguments) == ["--flagfile=~/quickstart.flags"]


def run_train(*arguments, cwd):
    return run_python("-m", "ran_tf.launch.train", *arguments, cwd=cwd, code=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--flagfile=launch/nope.flags"], "received 'launch/nope.flags'"),
        (["--flagfile=launch/quickstart.flags", "--num_regions=7"], "Received: --num_regions=7"),
        (
            ["--workdir=x", "--regions_per_step=9"],
            "`--regions_per_step` must be at most the number",
        ),
        (["--flagfile=launch/quickstart.flags", "extra"], "takes flags only. Received: extra"),
        (["--flagfile=launch/quickstart.flags", "--learning_rate=-1"], "learning_rate=-1"),
        (["--dataset=synthetic_faces"], "--workdir"),
        (["--workdir=x", "--attention=sigmod"], "sigmod"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message):
    done = run_train(*arguments, cwd=ROOT)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """A loss and an augmentation of a user's."""
    monkeypatch.setitem(registry.LOSSES._theirs, "spread", None)
    monkeypatch.setitem(registry.AUGMENTATIONS._theirs, "negative", None)


def settings(parse, *flags):
    config = launch_flags.train_config(parse("--workdir=x", *flags))
    return {s.path: operator.attrgetter(s.path)(config) for s in settings_of(type(config))}


# Where any other value would not do: of regions, and of what is registered.
OTHER = {
    "regions": "random",
    "num_regions": 1,
    "losses": ("spread:0.2",),
    "augmentations": ("negative:0.1",),
}


def another(setting):
    """A value that a setting may have in place of its default."""
    if setting.flag in OTHER:
        return OTHER[setting.flag]
    if setting.choices is not None:
        other = next(name for name in setting.choices if name != setting.default)
        return (other,) if setting.kind is tuple else other
    if setting.kind is bool:
        return not setting.default
    if setting.kind == "size":
        return (48, 48)
    if setting.kind is tuple:
        return (0.1, 0.2) if setting.item is float else ("x", "y")
    if setting.kind is float:
        return setting.default / 2 or 0.01
    return 3 if setting.kind is int else "x"


@pytest.mark.parametrize(
    "setting", [s for s in settings_of(TrainConfig) if s.flag], ids=lambda s: s.flag
)
def test_a_flag_changes_its_setting_and_no_other(parse, setting):
    value = another(setting)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else value
    given = value[0] if setting.kind == "size" else text
    before, after = settings(parse), settings(parse, f"--{setting.flag}={given}")
    changed = {name: after[name] for name in before if before[name] != after[name]}
    assert changed == {setting.path: value}
