"""Recipes: networks built, and on the builders' dummy data prepare, one step, one report.

Sizes are cut down, everything else is the recipe's.
"""

import dataclasses
import functools
import json
import pathlib

import pytest
import tensorflow as tf

import ran_tf
from ran_tf import vocabulary
from ran_tf.data.prepare import prepare
from ran_tf.launch import evaluate, train
from ran_tf.launch import flags as launch_flags
from ran_tf.models import backbones
from ran_tf.training import loop
from ran_tf.weights import records
from tests.fixtures import affectnet_files, ferplus_files, raf_db_files
from tests.tfds_builders import test_sfew

ROOT = pathlib.Path(__file__).parents[2]
RECIPES = [path for path in sorted((ROOT / "launch").glob("*.flags")) if path.stem != "quickstart"]
SMALL = (
    "--epochs=1",
    "--batch_size=16",
    "--image_size=32",
    "--region_size=32",
    "--learning_rate=0.001",
    "--cover_drawings=16",
    # A hundredth of a dozen faces is none.
    "--train_split=train",
    "--validation_split=validation",
)


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


def dataset_of(recipe):
    return recipe.read_text().split("\n--dataset=")[1].splitlines()[0]


def split_of(dataset):
    """Where results are reported: AffectNet and SFEW have no public test split."""
    return "test" if dataset.startswith(("ferplus", "raf_db")) else "validation"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepares a recipe's dataset, once; returns the TFDS directory."""
    data_dir = tmp_path_factory.mktemp("tfds")

    @functools.cache
    def prepared(dataset):
        raw = WRITE[dataset.split("/")[0]](tmp_path_factory.mktemp("raw"))
        prepare(dataset=dataset, manual_dir=str(raw), data_dir=str(data_dir))
        return data_dir

    return prepared


def flags_of(recipe):
    return [line for line in recipe.read_text().splitlines() if line.startswith("--")]


def shrink(monkeypatch):
    """Most of the time goes into 100 million weights of VGG-16's last layers, and into graphs."""
    monkeypatch.setattr(backbones, "_VGG_FEATURES", 32)
    resnet = backbones._resnet
    shallow = {"blocks": (1, 1, 1, 1), "bottleneck": False}
    monkeypatch.setattr(backbones, "_resnet", lambda x, **given: resnet(x, **{**given, **shallow}))


def test_every_network_of_a_recipe_is_built(parse, monkeypatch):
    shrink(monkeypatch)
    models = {launch_flags.train_config(parse("--workdir=x", *flags_of(r))).model for r in RECIPES}
    assert {model.backbone for model in models} >= {"resnet18", "vgg16", "mobilenet_v1"}
    for model in {dataclasses.replace(model, size=(64, 64), dropout=0.0) for model in models}:
        built = ran_tf.RegionAttentionNetwork(**dataclasses.asdict(model), num_classes=7)
        assert built.get_config()["backbone"] == model.backbone


COVERED = ROOT / "launch" / "ferplus_mobilenet_covered.flags"


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        # The newest settings on the smallest network; the others differ in numbers.
        pytest.param(COVERED, ("--backbone=tiny", "--trunk_split=relu0"), id="tiny"),
        *(pytest.param(path, (), id=path.stem, marks=pytest.mark.large) for path in RECIPES),
    ],
)
def test_a_recipe_trains_and_reports(recipe, changes, prepared, parse, tmp_path, monkeypatch):
    shrink(monkeypatch)
    dataset = dataset_of(recipe)
    data_dir = prepared(dataset)
    places = (f"--data_dir={data_dir}", f"--workdir={tmp_path}")
    values = parse(*flags_of(recipe), *SMALL, *changes, *places)
    losses = []
    hooks = loop.Hooks(on_step=lambda report: losses.append(report.means["loss"]))
    device = tf.distribute.OneDeviceStrategy("CPU:0")
    loop.train(launch_flags.train_config(values), tmp_path, strategy=device, hooks=hooks)
    assert len(losses) == 1
    card = records.load_workdir(tmp_path).card
    family = dataset.split("/")[0]
    assert (card.crop_margin, card.crop_drop) == vocabulary.CROPS.get(family, (0.0, 0.0))
    # The run knows which of several configs of a dataset it saw.
    evaluate.evaluate(
        tmp_path,
        data_dir=str(data_dir),
        split=split_of(dataset),
        out=tmp_path / "report",
        command="",
    )
    assert_report(tmp_path / "report", dataset=dataset)


def test_evaluation_that_cannot_be_is_refused_before_training(prepared, parse, tmp_path):
    folders = (f"--data_dir={prepared('sfew')}", f"--workdir={tmp_path / 'run'}")
    parse(*SMALL, "--evaluate", "--dataset=sfew", *folders)
    with pytest.raises(ValueError, match="the split 'test', which 'sfew' does not have"):
        train.main()
    assert not (tmp_path / "run").exists()


def assert_report(out, *, dataset):
    report = json.loads((out / "report.json").read_text())
    assert set(report["subsets"]) == set(vocabulary.SUBSETS)
    assert report["dataset"].startswith(dataset)
    assert report["subsets"]["all"]["count"] > 0
    assert tuple(report["labels"]) == vocabulary.LABELS[dataset.split("/")[0]]
