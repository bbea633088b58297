"""The covered share of a face: its readout by hand, and fitted to networks that tell and do not."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from ran_tf.config import RegionConfig
from ran_tf.evaluation import covered, metrics
from ran_tf.inference.classifier import Classifier
from ran_tf.weights.card import ModelCard
from ran_tf.weights.covered_readout import CoveredReadout
from tests.evaluation import test_report

K = 3


def make_batches(faces: int) -> list[dict]:
    """Smooth grey faces, so that whatever covers them shows."""
    y, x = np.mgrid[0:48, 0:48] / 47
    batches = []
    for start in range(0, faces, 64):
        ids = np.arange(start, min(start + 64, faces))
        level = 90 + ids[:, None, None] % 50 + 40 * y + 20 * x
        image = np.repeat(level[..., None], 3, axis=-1).astype(np.uint8)
        boxes = np.tile(np.float32([[0, 0, 1, 1]]), (len(ids), K, 1))
        mask = np.ones((len(ids), K), bool)
        names = np.array([str(i).encode() for i in ids])
        batches.append({"image": image, "id": names, "boxes": boxes, "mask": mask})
    return batches


def make_card(*, k: int) -> ModelCard:
    regions = RegionConfig(kind="random", k=k)
    return dataclasses.replace(test_report.make_card(), regions=regions)


def make_classifier(weights_of, *, k: int = K) -> Classifier:
    return Classifier(
        name="fake",
        card=make_card(k=k),
        predict=lambda batch: {"weights": weights_of(np.asarray(batch["image"], np.float32))},
    )


def of_edges(images):
    """Weights by how rough a face is: the network looks away from what is covered."""
    rough = np.array([np.abs(cv2.Laplacian(image[..., 0], cv2.CV_32F)).mean() for image in images])
    away = np.exp(-rough)
    return np.stack([1 - 0.9 * away, 0.6 * away, 0.3 * away], axis=-1).astype(np.float32)


def test_a_network_that_looks_away_can_be_read():
    readout = covered.fit_covered_readout(make_classifier(of_edges), make_batches(320))
    assert readout.auc > 0.95 and len(readout.slopes) == K
    batch = make_batches(64)[0]
    hidden = batch["image"].copy()
    hidden[:, 12:40, 8:40] = np.random.default_rng(0).integers(0, 256, (64, 28, 32, 1))
    clear, under = (
        readout.share(of_edges(np.float32(faces))) for faces in (batch["image"], hidden)
    )
    assert clear.max() < under.min()
    # Nothing, and 28 x 32 of 48 x 48 pixels: 0.39.
    assert clear.mean() < 0.04 and under.mean() == pytest.approx(0.39, abs=0.05)


@pytest.mark.parametrize(
    "weights_of",
    [
        lambda images: np.full((len(images), K), 1 / K, np.float32),
        lambda images: np.random.default_rng(0).dirichlet(np.ones(K), len(images)),
    ],
    ids=["constant", "noise"],
)
def test_a_network_that_does_not_tell_is_not_read(weights_of):
    assert covered.fit_covered_readout(make_classifier(weights_of), make_batches(128)) is None


@pytest.mark.parametrize("faces", [64 + 1, 320 + 1], ids=["of the drawn", "of the tried"])
def test_a_last_batch_may_have_one_face(faces):
    assert len(make_batches(faces)[-1]["id"]) == 1
    assert covered.fit_covered_readout(make_classifier(of_edges), make_batches(faces)).auc > 0.9


def test_one_region_and_few_faces_are_not_read():
    whole = make_classifier(lambda images: np.ones((len(images), 1)), k=1)
    assert covered.fit_covered_readout(whole, make_batches(64)) is None
    assert covered.fit_covered_readout(make_classifier(of_edges), make_batches(20)) is None


def test_a_share_is_that_of_the_formula_and_no_weight_is_too_small():
    readout = CoveredReadout(bias=0.5, slopes=(0.1, -0.05), auc=0.97)
    weights = np.float32([[0.2, 0.8], [1.0, 0.0]])
    by_hand = [0.5 + 0.1 * np.log(0.2) - 0.05 * np.log(0.8), 0.5 - 0.05 * np.log(1e-6)]
    np.testing.assert_allclose(readout.share(weights), np.clip(by_hand, 0, 1), rtol=1e-5)
    assert readout.share([1e-30, 1.0]) == 0.0


def test_it_travels_with_the_card():
    card = dataclasses.replace(
        make_card(k=2), covered=CoveredReadout(bias=0.1, slopes=(0.2, 0.3), auc=0.95)
    )
    assert ModelCard.from_json(card.to_json()).covered == card.covered
    assert "covered" not in json.loads(test_report.make_card().to_json())


@pytest.mark.parametrize(
    "readout",
    [
        {"bias": 0.1, "slopes": [0.2], "auc": 0.9},
        {"bias": 0.1, "slopes": [0.2, float("nan")], "auc": 0.9},
        {"bias": "x", "slopes": [0.2, 0.1], "auc": 0.9},
        {"bias": 0.1, "slopes": [0.2, 0.1], "auc": 2},
        {"bias": 0.1, "slopes": 3, "auc": 0.9},
        [0.1, 0.2],
    ],
)
def test_a_strange_readout_in_a_card_is_refused(readout):
    fields = json.loads(make_card(k=2).to_json()) | {"covered": readout}
    with pytest.raises(ValueError, match=r"card\.json must be a model card"):
        ModelCard.from_json(json.dumps(fields))


def test_the_area_under_the_curve_is_the_share_of_pairs():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 6, 40) + 1.0, rng.integers(0, 6, 30)
    pairs = positive[:, None] - negative[None]
    expected = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert metrics.area_under_curve(positive, negative) == pytest.approx(expected)
