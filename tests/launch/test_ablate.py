"""The ablation table: its rows, and the command that trains them, goes on and refuses."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import ran_tf
from ran_tf.config import DataConfig, ModelConfig, ObjectiveConfig, RegionConfig, TrainConfig
from ran_tf.data import prepare
from ran_tf.evaluation import ablation_rows
from ran_tf.launch import ablate
from ran_tf.launch import flags as launch_flags
from ran_tf.training import checkpoints

RECIPES = sorted((pathlib.Path(__file__).parents[2] / "launch").glob("*.flags"))
BASE = TrainConfig(
    data=DataConfig(regions=RegionConfig(k=1, radius=0.3)),
    model=ModelConfig(backbone="mobilenet_v1", attention="softmax", relation=False),
    objective=ObjectiveConfig(regions_per_step=1),
)


def test_rows_change_one_thing_each():
    rows = ablation_rows.make_rows(BASE, landmarks=True)
    assert len(rows) == 14
    paper = rows["self_relation_rb"].config
    assert paper.model == ModelConfig(backbone="mobilenet_v1", attention="sigmoid", relation=True)
    for row in rows.values():
        assert row.config.optimizer == BASE.optimizer
        assert row.config.objective.augment == BASE.objective.augment
        assert row.config.epochs == BASE.epochs
    assert rows["self"].config.objective.region_loss_weight == 0
    assert rows["self_rb"].config.objective.region_loss_weight == 1
    assert not rows["self_rb"].config.model.relation
    assert not rows["self"].config.model.relation
    assert rows["self_relation"].config.model.relation
    assert rows["softmax"].config.model.attention == "softmax"
    assert rows["random"].config.data.regions == RegionConfig(kind="random", k=6)
    assert rows["self_relation"].config.objective.region_loss_weight == 0
    assert rows["softmax"].config.objective.margin == 0.1
    assert rows["landmarks"].config.data.regions == RegionConfig(kind="landmarks", k=6, radius=0.3)
    numbers = {k: rows[f"regions_{k}"].config.data.regions for k in (1, 2, 3, 4, 5, 7, 8)}
    assert all(regions.k == k for k, regions in numbers.items())
    assert {k for k, regions in numbers.items() if regions.kind == "random"} == {2, 3, 4, 5, 7}
    assert numbers[8].variant == "released"


def test_choosing_rows():
    rows = ablation_rows.make_rows(BASE, landmarks=False)
    assert [row.name for row in ablation_rows.choose(rows, ["softmax", "self"])] == [
        "self",
        "softmax",
    ]
    assert len(ablation_rows.choose(rows, None)) == 13
    with pytest.raises(ValueError, match=r"`rows` must be some of self.*Received: landmarks; the"):
        ablation_rows.choose(rows, ["landmarks"])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_every_recipe_is_one_of_this_command(parse, recipe):
    lines = [line for line in recipe.read_text().splitlines() if line.startswith("--")]
    values = parse("--out=x", *lines, command=ablate)
    rows = ablation_rows.make_rows(launch_flags.train_config(values), landmarks=True)
    split = "train[:25%]" if recipe.stem == "quickstart" else values.train_split
    assert rows["self"].config.data.train_split == split


def test_drawn_faces_are_prepared_on_first_use(tmp_path, monkeypatch):
    class PreparedError(Exception):
        pass

    def prepared(**asked):
        assert asked == {"dataset": "synthetic_faces", "data_dir": str(tmp_path)}
        raise PreparedError

    monkeypatch.setattr(prepare, "prepare", prepared)
    config = dataclasses.replace(BASE, data=DataConfig(data_dir=str(tmp_path)))
    with pytest.raises(PreparedError):
        ran_tf.ablate(config, tmp_path / "out")


@pytest.fixture
def run(parse, synthetic_dir, tmp_path, capsys):
    """Runs the command with these flags; returns what it prints."""

    def run(*arguments):
        parse(
            f"--data_dir={synthetic_dir}",
            f"--out={tmp_path}",
            "--backbone=tiny",
            "--region_size=32",
            "--image_size=24",
            "--batch_size=16",
            "--epochs=1",
            "--ema=0",
            "--erase=0",
            "--train_split=train[:16]",
            "--validation_split=validation[:16]",
            *arguments,
            command=ablate,
        )
        ablate.main()
        return capsys.readouterr().out

    return run


def test_the_command_trains_goes_on_and_refuses(run, tmp_path):
    run("--rows=landmarks")
    weights = tmp_path / "landmarks" / "seed-0" / "best.weights.h5"
    trained = weights.read_bytes()
    said = run("--rows=regions_1,landmarks")
    assert "row regions_1, seed 0" in said and said.count("epoch 1 done") == 1
    assert weights.read_bytes() == trained
    table = json.loads((tmp_path / "ablation.json").read_text())
    assert list(table["rows"]) == ["landmarks", "regions_1"] and table["train_faces"] == 16
    for row in table["rows"].values():
        low, high = row["seeds"]["0"]["accuracy_ci95"]
        assert low <= row["accuracy"] <= high and row["deviation"] is None
    assert "| regions_1 | number | whole face |" in (tmp_path / "ablation.md").read_text()
    assert (tmp_path / "regions_1" / "seed-0" / "best.weights.h5").is_file()
    with pytest.raises(checkpoints.OtherRunError, match=r"objective\.margin is 0\.02 there"):
        run("--rows=regions_1", "--margin=0.5")


@pytest.mark.large
def test_seeds_of_a_row_are_averaged(run, tmp_path):
    run("--rows=regions_1", "--seeds=0,3")
    row = json.loads((tmp_path / "ablation.json").read_text())["rows"]["regions_1"]
    accuracies = [row["seeds"][seed]["accuracy"] for seed in ("0", "3")]
    assert row["accuracy"] == pytest.approx(np.mean(accuracies))
    assert row["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    weights = [tmp_path / "regions_1" / f"seed-{n}" / "best.weights.h5" for n in (0, 3)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    with pytest.raises(ValueError, match="`seeds` must be whole numbers"):
        run("--seeds=0,x")
