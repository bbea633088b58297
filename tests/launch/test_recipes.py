"""Recipes: each parses to a run, is self-contained, and opens as the house asks."""

import operator
import pathlib
import re
import subprocess
import sys

import pytest

import ran_tf
from ran_tf import registry
from ran_tf.launch import command
from ran_tf.launch import flags as launch_flags
from ran_tf.settings import settings_of

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
    found = command.find_recipe("--flagfile=launch/quickstart.flags")
    assert (
        pathlib.Path(found.removeprefix("--flagfile=")).read_text().startswith("# The whole path")
    )
    assert command.find_recipe("--epochs=1") == "--epochs=1"
    with pytest.raises(SystemExit):
        command.find_recipe("--flagfile=launch/nope.flags")
    said = capsys.readouterr().err
    assert re.search(r"received 'launch/nope\.flags': .*quickstart\.flags", said)


def test_a_recipe_in_the_home_directory_comes_before_the_packaged_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "quickstart.flags").write_text("--epochs=3\n")
    for arguments in (["--flagfile=~/quickstart.flags"], ["--flagfile", "~/quickstart.flags"]):
        # Which absl expands, too.
        assert command.expand_arguments(arguments) == ["--flagfile=~/quickstart.flags"]


def run_train(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "ran_tf.launch.train", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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


# What a run may have instead of a flag's default.
OTHER = {
    "dataset": "ferplus/votes",
    "data_dir": "d",
    "train_split": "train[:9]",
    "validation_split": "test",
    "image_size": 48,
    "target": "votes",
    "balanced": True,
    "cache": False,
    "regions": "random",
    "num_regions": 1,
    "region_variant": "released",
    "landmark_radius": 0.3,
    "backbone": "vgg16",
    "attention": "softmax",
    "relation": False,
    "preprocessing": "unit",
    "region_size": 96,
    "trunk": "shared",
    "trunk_split": "x",
    "region_map": 7,
    "dropout": 0.5,
    "dtype": "mixed_bfloat16",
    "flip": False,
    "rotate": 1.0,
    "scale": 0.02,
    "shift": 0.03,
    "erase": 0.04,
    "erase_max": 0.5,
    "degrade": 0.06,
    "cover": 0.61,
    "cover_drawings": 62,
    "spoil": 0.63,
    "light": 0.07,
    "optimizer": "adamw",
    "learning_rate": 0.08,
    "schedule": "step",
    "warmup": 0.09,
    "milestones": "0.1,0.2",
    "weight_decay": 0.11,
    "momentum": 0.12,
    "clip_norm": 0.13,
    "ema": 0.14,
    "epochs": 3,
    "batch_size": 5,
    "regions_per_step": 2,
    "freeze": "y",
    "margin": 0.15,
    "region_loss_weight": 0.16,
    "visibility_weight": 0.64,
    "visibility_loss": "rank",
    "label_smoothing": 0.17,
    "mixup": 0.18,
    "sync_batch_norm": False,
    "keep": "last",
    "seed": 4,
    "deterministic": True,
    "losses": "spread:0.2",
    "augmentations": "negative:0.1",
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """A loss and an augmentation of a user's."""
    monkeypatch.setitem(registry.LOSSES._theirs, "spread", None)
    monkeypatch.setitem(registry.AUGMENTATIONS._theirs, "negative", None)


def settings(parse, *flags):
    config = launch_flags.train_config(parse("--workdir=x", *flags))
    return {s.path: operator.attrgetter(s.path)(config) for s in settings_of(type(config))}


@pytest.mark.parametrize("flag", OTHER)
def test_a_flag_changes_its_setting_and_no_other(parse, flag):
    before, after = settings(parse), settings(parse, f"--{flag}={OTHER[flag]}")
    changed = [name for name in before if before[name] != after[name]]
    assert [launch_flags.flag_of(name) for name in changed] == [f"--{flag}"]
    (value,) = (after[name] for name in changed)
    value = value[0] if flag in ("image_size", "region_size", "region_map") else value
    lists = {"milestones": (0.1, 0.2), **{n: (OTHER[n],) for n in ("losses", "augmentations")}}
    assert value == lists.get(flag, OTHER[flag])


def test_every_setting_is_tried(parse):
    assert {f"--{flag}" for flag in OTHER} == {launch_flags.flag_of(n) for n in settings(parse)}
