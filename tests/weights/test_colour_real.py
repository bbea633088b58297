"""The presets saw grey faces only: on coloured ones, taking the colour out must not be worse."""

import csv
import dataclasses

import cv2
import numpy as np
import pytest

from ran_tf.evaluation import metrics
from ran_tf.inference import keras_engine
from ran_tf.regions.kinds import serving_boxes
from ran_tf.weights import presets
from tests.fixtures import real_data

COUNT = 800


def read_faces():
    """FERPlus validation faces, evenly picked: u8[b, 48, 48, 3] and i64[b], by majority."""
    folder = real_data.require("ferplus") / "FER2013Valid"
    with (folder / "label.csv").open() as file:
        rows = [(row[0], np.array(row[2:12], int)) for row in csv.reader(file)]
    kept = []
    for name, votes in rows:
        votes = np.where(votes > 1, votes, 0)
        if votes[:8].max(initial=0) * 2 > votes.sum():
            kept.append((name, int(votes[:8].argmax())))
    kept = [kept[i] for i in np.linspace(0, len(kept) - 1, COUNT).astype(int)]
    images = [cv2.imread(str(folder / name), cv2.IMREAD_COLOR) for name, _ in kept]
    return np.stack(images), np.array([label for _, label in kept])


def cast(faces, rng):
    """Coloured light: each channel brighter or darker by up to 40 %."""
    gains = rng.uniform(0.6, 1.4, (len(faces), 1, 1, 3))
    return np.round(faces * gains).clip(0, 255).astype(np.uint8)


def skin(faces, rng):
    """The lightness of each face with the hue of some skin, from pale to dark."""
    coloured = []
    for face in faces:
        lab = cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        lab[..., 1], lab[..., 2] = rng.uniform(8, 22), rng.uniform(10, 30)
        rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        coloured.append(np.round(255 * rgb.clip(0, 1)).astype(np.uint8))
    return np.stack(coloured)


@pytest.mark.large
@pytest.mark.parametrize("name", presets.known_presets())
def test_colour_taken_out_is_no_worse(name):
    faces, label = read_faces()
    trained = presets.load_preset(presets.find_preset(name))
    assert trained.card.colour == "grey"
    rng = np.random.default_rng(0)
    kinds = {"coloured light": cast(faces, rng), "skin": skin(faces, rng)}
    right = {}
    for colour in ("rgb", "grey"):
        card = dataclasses.replace(trained.card, colour=colour)
        predict = keras_engine.from_network(trained.model, card, name=name).predict
        boxes = np.tile(serving_boxes(card.regions), (80, 1, 1))
        batch = {"boxes": boxes, "mask": np.ones(boxes.shape[:2], bool)}
        for kind, images in kinds.items():
            said = [
                predict({"image": images[i : i + 80], **batch})["probabilities"].argmax(axis=1)
                for i in range(0, COUNT, 80)
            ]
            right[kind, colour] = np.concatenate(said) == label
    for kind in kinds:
        grey, rgb = right[kind, "grey"], right[kind, "rgb"]
        found = metrics.paired_bootstrap(grey, rgb)
        print(
            f"{name}, {kind}: grey {grey.sum()}, rgb {rgb.sum()} of {COUNT}, only grey "
            f"{found.wins}, only rgb {found.losses}, "
            f"{100 * found.ci95[0]:+.2f} to {100 * found.ci95[1]:+.2f} points"
        )
        # Not worse beyond chance.
        assert found.ci95[1] >= 0
