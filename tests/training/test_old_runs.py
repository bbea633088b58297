"""What versions before have written is still used: their card.json had no `loss_margin`."""

import json
import shutil

import h5py
import numpy as np
import pytest

import ran_tf
from ran_tf.exports import export
from ran_tf.training import initialise
from ran_tf.weights import records, sources
from tests.exports.test_export import random_faces
from tests.fixtures import tiny_backbone as tiny_backbone  # registers "tiny"

CARD = {
    "dataset": "synthetic_faces",
    "labels": list(ran_tf.LABELS["synthetic_faces"]),
    "image_size": [32, 32],
    "regions": {"kind": "fixed", "k": 6, "variant": "paper", "radius": 0.4},
    "model": {
        "backbone": "tiny",
        "attention": "sigmoid",
        "relation": True,
        "size": [32, 32],
        "trunk": "full",
        "split": None,
        "region_map": None,
        "dropout": 0.0,
        "preprocessing": "standard",
        "dtype": "float32",
        "num_classes": 8,
        "synchronized": False,
    },
    "colour": "rgb",
    "crop_margin": 0.0,
    "crop_drop": 0.0,
}
WEIGHTS = {
    "backbone/layers/conv2d/vars/0": (3, 3, 3, 8),
    "backbone/layers/conv2d_1/vars/0": (3, 3, 8, 16),
    **{f"backbone/layers/batch_norm/vars/{i}": (8,) for i in range(4)},
    **{f"backbone/layers/batch_norm_1/vars/{i}": (16,) for i in range(4)},
    "backbone/layers/depthwise_conv2d/vars/0": (3, 3, 16, 1),
    "backbone/layers/depthwise_conv2d/vars/1": (16,),
    "layers/self_attention/query/vars/0": (16, 1),
    "layers/self_attention/query/vars/1": (1,),
    "layers/relation_attention/query/vars/0": (32, 1),
    "layers/relation_attention/query/vars/1": (1,),
    "classifier/vars/0": (32, 8),
    "classifier/vars/1": (8,),
}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A work directory, written by hand, and its weights by name."""
    workdir, draw = tmp_path_factory.mktemp("old") / "run", np.random.default_rng(0)
    workdir.mkdir()
    (workdir / "card.json").write_text(json.dumps(CARD, indent=2))
    (workdir / "best.json").write_text('{"epoch": 1, "validation_accuracy": 0.5}')
    arrays = {name: draw.uniform(0.1, 1, shape).astype("f") for name, shape in WEIGHTS.items()}
    with h5py.File(workdir / "best.weights.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return workdir, arrays


def test_a_run_is_used(old):
    workdir, arrays = old
    trained = records.load_workdir(workdir)
    assert len(trained.model.weights) == len(arrays)
    np.testing.assert_array_equal(trained.model.classifier.kernel, arrays["classifier/vars/0"])
    layer = trained.model.backbone.get_layer("bn1")
    np.testing.assert_array_equal(
        layer.moving_variance, arrays["backbone/layers/batch_norm_1/vars/3"]
    )
    assert trained.card.loss_margin == 0.02  # the paper's
    assert ran_tf.Predictor(workdir)(random_faces(1, 40, 40))[0].probabilities.shape == (8,)


def test_a_run_is_started_from(old):
    workdir, arrays = old
    network = ran_tf.RegionAttentionNetwork("tiny", size=(32, 32), num_classes=8)
    taken = initialise.init_weights(network, str(workdir), labels=CARD["labels"])
    assert len(taken.loaded) == len(arrays) and not taken.fresh
    np.testing.assert_array_equal(network.classifier.kernel, arrays["classifier/vars/0"])


def test_an_export_is_used(small_export, tmp_path):
    shutil.copytree(small_export.path, tmp_path / "export" / "1")
    cards = [tmp_path / "export" / "1" / "card.json"]
    if not cards[0].exists():
        cards = list((tmp_path / "export").rglob("card.json"))
    card = json.loads(cards[0].read_text())
    del card["loss_margin"]
    cards[0].write_text(json.dumps(card))
    source = sources.resolve(tmp_path / "export")
    assert source.kind == "export" and export.read_card(source.path).loss_margin == 0.02
