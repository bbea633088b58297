"""What the demo page shows, without the page: faces, occluders, explanations and their HTML."""

import dataclasses
import html.parser
import re

import cv2
import numpy as np
import pytest

import ran_tf
from ran_tf.config import RegionConfig
from ran_tf.demo import explain, markup, occluder, photo
from ran_tf.exports import export
from ran_tf.faces import DetectorConfig, Face, align
from ran_tf.inference import annotate
from ran_tf.inference.prediction import Prediction
from tests.exports.test_export import LinearModel, make_card, random_faces

LANDMARKS = np.float32([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]])
CARDS = (make_card(crop_margin=0.2, crop_drop=0.1), make_card(image_size=(24, 24)))


def encode(image, suffix=".png"):
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def found_at(*places):
    """A detector that finds faces of the given x, y and scale."""
    faces = [
        Face(
            box=np.float32([y, x, y + 20 * scale, x + 20 * scale]),
            score=1.0,
            landmarks=LANDMARKS * scale + (x, y),
        )
        for x, y, scale in places
    ]
    return lambda images: [faces for _ in images]


class BrightnessPredictor:
    """Says what the mean brightness of a crop is, in two classes and three regions."""

    labels = ("<b>dark</b>", "light")

    def __init__(self, card=CARDS[0]):
        self.card, self.seen = card, []

    def __call__(self, faces):
        self.seen += faces
        mean = [float(face.mean()) / 255 for face in faces]
        boxes = np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1]])
        return [
            Prediction(
                label=self.labels[int(m > 0.5)],
                probabilities=np.float32([1 - m, m]),
                weights=np.float32([0.2, 0.5 + m / 4, 0.3 - m / 4]),
                boxes=boxes,
            )
            for m in mean
        ]


@pytest.fixture
def networks():
    predictors = (BrightnessPredictor(CARDS[0]), BrightnessPredictor(CARDS[1]))
    return explain.Networks(predictors=predictors, find_faces=found_at())


@pytest.fixture
def white_face():
    return photo.Face(
        box=np.array([0, 0, 1, 1]),
        view=np.full((40, 40, 3), 255, np.uint8),
        crops=tuple(np.full((s, s, 3), 255, np.uint8) for s in (32, 24)),
    )


@pytest.mark.parametrize(
    "sides", [(0, 0, 1, 1), (0.25, 0.125, 0.5, 0.75), (0.31, 0.07, 0.33, 0.99), (0.5, 0.5, 0.51, 1)]
)
def test_cover_blends_what_is_covered_in_part(sides):
    """Against counting a hundred points in every pixel."""
    face, fine = random_faces(7, 9), 100
    points = (np.stack(np.mgrid[: 7 * fine, : 9 * fine], -1) + 0.5) / (7 * fine, 9 * fine)
    inside = ((points >= sides[:2]) & (points < sides[2:])).all(-1)
    alpha = inside.reshape(7, fine, 9, fine).mean((1, 3))[..., None]
    covered = occluder.cover(face, occluder.Occluder(*sides))
    assert covered.dtype == np.uint8 and (alpha > 0).any()
    expected = face * (1 - alpha) + occluder.GREY * alpha
    np.testing.assert_allclose(covered, expected, atol=2.5)
    np.testing.assert_array_equal(covered[alpha[..., 0] == 0], face[alpha[..., 0] == 0])


def test_no_occluder_changes_nothing():
    face = random_faces(7, 9)
    np.testing.assert_array_equal(occluder.cover(face, None), face)
    assert occluder.read_occluder(None) is None


def test_what_a_browser_sends_is_read():
    sent = {"y0": 0, "x0": 0.25, "y1": 0.5, "x1": 1, "more": "ignored"}
    read = occluder.read_occluder(sent)
    assert read == occluder.Occluder(0.0, 0.25, 0.5, 1.0)
    assert read.area == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y0": "0"}, "finite numbers"),
        ({"y0": None}, "finite numbers"),
        ({"x1": float("nan")}, "finite numbers"),
        ({"x1": 1.5}, "x1=1.5"),
        ({"x0": 0.9, "x1": 0.1}, "x0 < x1"),
    ],
)
def test_what_a_browser_should_not_send(changes, message):
    with pytest.raises(ValueError, match=message):
        occluder.read_occluder({"y0": 0, "x0": 0, "y1": 1, "x1": 1} | changes)
    with pytest.raises(ValueError, match="Received: 'everything'"):
        occluder.read_occluder("everything")


def test_faces_are_cut_as_each_card_says():
    image = random_faces(120, 160)
    find_faces = found_at((100, 60, 1.5), (10, 70, 2), (60, 10, 1))
    analysed = photo.analyse(encode(image), cards=CARDS, find_faces=find_faces)
    assert len(analysed.faces) == 3 and analysed.largest == 0, "from left to right"
    np.testing.assert_array_equal(analysed.view, image)
    for face, (x, y, scale) in zip(
        analysed.faces, [(10, 70, 2), (60, 10, 1), (100, 60, 1.5)], strict=True
    ):
        y1, x1 = y + 20 * scale + 1, x + 20 * scale + 1
        np.testing.assert_allclose(face.box, np.array([y / 120, x / 160, y1 / 120, x1 / 160]))
        points = LANDMARKS * scale + (x, y)
        first = align.align_face(image, points, size=32, margin=0.2, drop=0.1)
        second = align.align_face(image, points, size=24)
        for crop, by_hand in zip(face.crops, (first, second), strict=True):
            np.testing.assert_array_equal(crop, by_hand.image)
        assert face.view.shape[0] == face.view.shape[1] > 200


def test_a_photo_without_a_face_can_be_taken_whole():
    image = random_faces(50, 90)
    analysed = photo.analyse(encode(image), cards=CARDS, find_faces=found_at())
    assert analysed.faces == ()
    np.testing.assert_allclose(analysed.whole.box, [0, 20 / 90, 1, 70 / 90])
    square = align.centre_square(image, size=32)
    np.testing.assert_array_equal(analysed.whole.crops[0], square)


def test_a_crowd_is_cut_to_its_largest_faces():
    places = [(4 * i, 0, 0.5 if i < 10 else 1.0) for i in range(30)]
    analysed = photo.analyse(
        encode(random_faces(60, 150)), cards=CARDS, find_faces=found_at(*places)
    )
    assert len(analysed.faces) == 24
    assert sum(face.box[3] - face.box[1] > 15 / 150 for face in analysed.faces) == 20


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"no image", "not an image"), (encode(random_faces(9, 9))[:-30], "early")],
)
def test_bad_uploads(data, message):
    with pytest.raises(ValueError, match=message):
        photo.analyse(data, cards=CARDS, find_faces=found_at())


def test_every_network_sees_its_own_covered_crop(networks, white_face):
    half = occluder.Occluder(0.0, 0.0, 0.5, 1.0)
    said = explain.explain(white_face, networks=networks, occluder=half)
    mean = (255 + occluder.GREY) / 2 / 255
    for prediction in (said.prediction, said.baseline):
        assert prediction.probabilities[1] == pytest.approx(mean)
    assert [p.seen[0].shape for p in networks.predictors] == [(32, 32, 3), (24, 24, 3)]
    assert said.covered == 0.5
    np.testing.assert_array_equal(said.view, occluder.cover(white_face.view, half))


class Reader(html.parser.HTMLParser):
    """Checks that tags are closed, and collects attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes.append({"tag": tag, **dict(attrs)})
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of_class(self, name):
        return [a for a in self.attributes if name in a.get("class", "").split()]


def test_expressions_and_their_change(networks, white_face):
    clear = explain.explain(white_face, networks=networks)
    now = explain.explain(
        white_face, networks=networks, occluder=occluder.Occluder(0.0, 0.0, 0.5, 1.0)
    )
    page = Reader(markup.expressions_markup(now, clear=clear))
    dark, light = page.of_class("ran-row")
    assert dark["data-label"] == "<b>dark</b>", "escaped"
    assert float(light["data-value"]) == pytest.approx(now.prediction.probabilities[1], abs=1e-5)
    assert "ran-top" in light["class"] and "ran-top" not in dark["class"]
    assert "▲39" in page.text and "▼39" in page.text
    assert len(page.of_class("ran-second")) == 3, "two bars and the legend"
    assert [mark["style"] for mark in page.of_class("ran-before")] == ["left:100.00%"]
    verdict = Reader(markup.verdict_markup(now, clear=clear)).text
    assert "light 61%" in verdict
    assert "You cover 50% of the face. Uncovered: light, 100%" in verdict

    assert "suggest" not in verdict
    told = dataclasses.replace(now.prediction, covered=0.312)
    now = dataclasses.replace(now, prediction=told)
    assert "31% of the face is covered" in Reader(markup.verdict_markup(now, clear=clear)).text

    alone = dataclasses.replace(clear, baseline=None)
    page = Reader(markup.expressions_markup(alone, clear=alone))
    assert not page.of_class("ran-second") and not re.search("[▲▼]", page.text)
    assert not page.of_class("ran-before")


def test_regions_highest_red_lowest_blue(networks, white_face):
    clear = explain.explain(white_face, networks=networks)
    page = Reader(markup.regions_markup(clear, clear=clear))
    regions = page.of_class("ran-region")
    assert [region["data-mark"] for region in regions] == ["", "highest", "lowest"]
    red, blue = (f"--ran-mark:rgb{colour}" for colour in (annotate.HIGHEST, annotate.LOWEST))
    assert [region.get("style") for region in regions] == [None, red, blue]
    assert "75.0%" in page.text and "5.0%" in page.text and "whole face" in page.text
    assert not re.search("[▲▼]", page.text)
    assert all(a["src"].startswith("data:image/jpeg") for a in page.attributes if a["tag"] == "img")

    now = explain.explain(
        white_face, networks=networks, occluder=occluder.Occluder(0.0, 0.0, 0.5, 1.0)
    )
    assert "▼9.7" in Reader(markup.regions_markup(now, clear=clear)).text

    one = dataclasses.replace(
        clear.prediction, weights=np.float32([1]), boxes=clear.prediction.boxes[:1]
    )
    face_only = dataclasses.replace(clear, prediction=one)
    assert "whole face only" in markup.regions_markup(face_only, clear=face_only)


def test_the_photo_has_a_button_for_every_face():
    find_faces = found_at((100, 60, 2), (10, 70, 1))
    analysed = photo.analyse(encode(random_faces(120, 160)), cards=CARDS, find_faces=find_faces)
    buttons = Reader(markup.photo_markup(analysed, chosen=1)).of_class("ran-box")
    assert [(b["data-face"], b["aria-pressed"]) for b in buttons] == [("0", "false"), ("1", "true")]
    assert buttons[0]["style"].startswith(f"left:{100 * 10 / 160}%;top:58.33%")
    assert len(Reader(markup.photo_markup(analysed, chosen=None)).of_class("ran-box")) == 1


def test_messages_are_escaped():
    assert markup.message_markup("") == ""
    (message,) = Reader(markup.message_markup("<script>", error=True)).attributes
    assert message["role"] == "alert"


def test_explains_as_the_predictor_predicts(tmp_path, white_face):
    export.write_export(LinearModel(), make_card(), export_dir=tmp_path, check=False)
    predictor = ran_tf.Predictor(tmp_path)
    crop = random_faces(32, 32)
    face = dataclasses.replace(white_face, crops=(crop,))
    networks = explain.Networks(predictors=(predictor,), find_faces=found_at())
    patch = occluder.Occluder(0.2, 0.2, 0.8, 0.8)
    clear, covered = (explain.explain(face, networks=networks, occluder=o) for o in (None, patch))
    direct = predictor([crop, occluder.cover(crop, patch)])
    for said, expected in zip((clear, covered), direct, strict=True):
        np.testing.assert_allclose(said.prediction.weights, expected.weights, atol=1e-5)
        np.testing.assert_allclose(said.prediction.probabilities, expected.probabilities, atol=1e-5)
    assert np.abs(direct[0].probabilities - direct[1].probabilities).max() > 1e-3
    assert clear.baseline is None and clear.labels == ran_tf.LABELS["ferplus"]


def test_which_baseline_is_loaded(monkeypatch):
    other = tuple(reversed(make_card().labels))
    cards = {
        explain.WHOLE_FACE: make_card(regions=RegionConfig(kind="fixed", k=1)),
        "regions": make_card(),
        "others": make_card(labels=other),
    }

    class NamedPredictor:
        def __init__(self, name, engine="auto"):
            self.name, self.card, self.labels = name, cards[name], cards[name].labels

    asked = []
    monkeypatch.setattr(explain.predictors, "Predictor", NamedPredictor)
    monkeypatch.setattr(explain.detect, "create_detector", lambda config: asked.append(config.name))

    def names(*arguments, **settings):
        loaded = explain.load_networks(*arguments, **settings)
        return [predictor.name for predictor in loaded.predictors]

    assert names("regions") == ["regions", explain.WHOLE_FACE]
    assert names("regions", baseline="", detector=DetectorConfig(name="retinaface")) == ["regions"]
    assert names("regions", baseline="regions") == ["regions", "regions"]
    assert names("others") == ["others"], "no baseline has these labels"
    assert names(explain.WHOLE_FACE) == [explain.WHOLE_FACE]
    assert asked == ["blazeface", "retinaface", "blazeface", "blazeface", "blazeface"]
    with pytest.raises(ValueError, match="`baseline` must have the labels of `model`.*'others'"):
        explain.load_networks("regions", baseline="others")
