"""Arguments that cannot be are refused by name, before anything is allocated or begun."""

import dataclasses
import json

import numpy as np
import pytest

from ran_tf import checks, config, registry, vocabulary
from ran_tf.config import DataConfig, OptimizerConfig, RegionConfig, TrainConfig
from ran_tf.data import ops
from ran_tf.faces import align
from ran_tf.models.backbones import build_backbone
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import schedule
from ran_tf.weights.card import ModelCard

CARD = ModelCard(
    dataset="d", labels=("a", "b"), image_size=(48, 48), regions=RegionConfig(), model={}
).to_json()


@pytest.mark.parametrize(
    "label",
    ["sad\npy", " happy", "  ", "", "x" * 101, "\x1b]0;title", "a\u2028", "\udce4", "\ufffd", 3],
)
def test_a_label_that_is_no_line_of_text_is_refused_in_any_card(label):
    with pytest.raises(ValueError, match="`card.labels` must be one-line names") as caught:
        dataclasses.replace(ModelCard.from_json(CARD), labels=("a", label))
    assert len(str(caught.value)) < 500
    strange = json.dumps({**json.loads(CARD), "labels": ["a", label]})
    with pytest.raises(ValueError, match=r"x\.json must be a model card .*must be one-line names"):
        ModelCard.from_json(strange, source="x.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(image_size=64), r"`image_size` must be \(height, width\).*=64"),
        (lambda: DataConfig(image_size=(64,)), r"`image_size` must be \(height, width\)"),
        (lambda: DataConfig(image_size=(64, 64.5)), "`image_size` must be an integer.*64.5"),
        (lambda: config.ModelConfig(size=224), r"`size` must be \(height, width\)"),
        (
            lambda: TrainConfig(seed=1.5),
            "`seed` must be an integer.*seed=1.5",
        ),
        (
            lambda: config.OptimizerConfig(learning_rate=0.0),
            "`learning_rate` must be .*learning_rate=0",
        ),
        (lambda: config.ObjectiveConfig(margin=True), "`margin` must be in .*margin=True"),
        (
            lambda: config.ObjectiveConfig(regions_per_step=1.5),
            "`regions_per_step` must be an int",
        ),
        (lambda: RegionAttentionNetwork(size=("a", "b")), "`size` must be an integer.*size='a'"),
        (
            lambda: RegionAttentionNetwork(size=(0, 9)),
            "`size` must be in 1..4096.*size=0",
        ),
        (lambda: RegionAttentionNetwork(num_classes=8.5), "`num_classes` must be an integer"),
        (
            lambda: RegionAttentionNetwork(trunk="shared", region_map=7),
            r"`region_map` must be \(height, width\). Received: region_map=7",
        ),
        (
            lambda: align.align_face(np.zeros((9, 9, 3), np.uint8), align.TEMPLATE, size=100.5),
            "`size` must be an integer. Received: size=100.5",
        ),
        (
            lambda: ModelCard.from_json(CARD.replace('"crop_drop": 0.0', '"crop_drop": true')),
            "`card.crop_drop` must be in .*crop_drop=True",
        ),
        (
            lambda: ModelCard.from_json(
                CARD.replace('"model": {}', '"model": {"size": [9, true]}')
            ),
            "`card.model.size` must be an integer",
        ),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sizes_are_plain_integers():
    assert checks.check_size("size", np.array([3, 4])) == (3, 4)
    assert all(type(side) is int for side in checks.check_size("size", np.array([3, 4])))


@pytest.mark.parametrize(
    ("choices", "ask"),
    [
        (
            "SCHEDULES",
            lambda: schedule.learning_rate(
                5, total_steps=9, config=OptimizerConfig(schedule="ring", warmup=0.0)
            ),
        ),
        ("TARGETS", lambda: ops.to_target({}, target="ring", num_classes=2)),
        ("PREPROCESSINGS", lambda: build_backbone("resnet18", size=(32, 32), preprocessing="ring")),
        ("TRUNKS", lambda: RegionAttentionNetwork(trunk="ring", size=(32, 32))),
    ],
)
def test_a_choice_without_a_rule_is_no_other_choice(choices, ask, monkeypatch):
    """Who makes a kind known in one place is told where its rule is missing, and no fixed boxes."""
    known = getattr(vocabulary, choices)
    monkeypatch.setattr(vocabulary, choices, (*known, "ring"))
    with pytest.raises(ValueError, match="Received: .*'ring'"):
        ask()


@pytest.mark.parametrize("registered", [registry.REGIONS, registry.OPTIMIZERS, registry.LOSSES])
def test_a_name_that_is_not_registered_says_what_to_import(registered):
    with pytest.raises(ValueError, match="--import=MODULE.*Received: .*'ring'"):
        registered.find("ring")


def test_a_card_from_before_framing_is_that_of_the_plain_square():
    old = {k: v for k, v in json.loads(CARD).items() if k not in ("crop_margin", "crop_drop")}
    card = ModelCard.from_json(json.dumps(old))
    assert (card.crop_margin, card.crop_drop) == (0.0, 0.0)
