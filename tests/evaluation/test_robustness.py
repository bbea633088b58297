"""Robustness: what is done to faces, the numbers of known answers, and the command."""

import json
import math
import os
import shutil

import numpy as np
import pytest

import ran_tf
from ran_tf.data import damage
from ran_tf.evaluation import exposure
from ran_tf.evaluation.robustness import corruptions, looks, robustness_report, trials, turns
from ran_tf.inference.classifier import Classifier
from ran_tf.launch import robustness as robustness_command
from ran_tf.weights import records
from tests.exports.test_export import make_card, make_model

IDS = [f"face{i}" for i in range(40)]


def grey_faces(size=48):
    """From dark to light in both directions, like no occluder: u8[40, size, size, 3]."""
    ramp = np.linspace(60, 200, size)
    face = ((ramp[:, None] + ramp) / 2).round().astype(np.uint8)
    return np.broadcast_to(face[..., None], (len(IDS), size, size, 3)).copy()


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_kinds_change_faces_and_depend_on_the_id_alone(kind):
    faces = grey_faces()
    changed = corruptions.corrupt(faces, IDS, kind=kind)
    assert changed.shape == faces.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(faces, grey_faces(), err_msg="the faces themselves are kept")
    differ = (changed != faces).any(axis=(1, 2, 3))
    assert differ.mean() > 0.9
    # Grey stays grey, but for JPEG's rounding.
    assert np.ptp(changed.astype(int), axis=-1).max() <= 1
    alone = corruptions.corrupt(faces[7:9], IDS[7:9], kind=kind)
    np.testing.assert_array_equal(alone, changed[7:9])
    if kind not in ("12 pixels", "blur"):  # which draw nothing
        assert len(np.unique(changed.reshape(40, -1), axis=0)) > 1, "faces differ"


@pytest.mark.parametrize("kind", ["sunglasses", "hand", "zoom", "own texture", "JPEG"])
@pytest.mark.parametrize("shape", [(17, 23), (224, 224)])
def test_kinds_take_faces_of_any_size(kind, shape):
    faces = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    assert corruptions.corrupt(faces, IDS[:2], kind=kind).shape == faces.shape


def test_fog_takes_contrast_and_is_denser_in_places():
    """The contrast of neighbours says how much of the face is seen through the fog."""
    board = np.indices((48, 48)).sum(axis=0) % 2 * 200
    faces = np.broadcast_to(board[..., None].astype(np.uint8), (8, 48, 48, 3))
    foggy = corruptions.corrupt(faces, IDS[:8], kind="fog").astype(int)
    seen = np.abs(np.diff(foggy[..., 0], axis=-1)) / 200
    assert ((seen.mean(axis=(1, 2)) > 0.04) & (seen.mean(axis=(1, 2)) < 0.17)).all()
    assert (np.ptp(seen, axis=(1, 2)) > 0.08).all()
    assert (foggy >= faces * 0.95).all(), "fog is light"


def test_props_cover_what_they_should():
    """The same share of a face at every size, in the right place."""
    for size in (48, 192):
        black = np.zeros((8, size, size, 3), np.uint8)
        masked = corruptions.corrupt(black, IDS[:8], kind="surgical mask") > 0
        assert not masked[:, : size // 3].any()
        assert masked[:, -size // 4, size // 2].all()
        assert 0.2 < masked.mean() < 0.5
        glasses = corruptions.corrupt(black + 255, IDS[:8], kind="sunglasses") < 128
        assert glasses[:, round(0.38 * size), round(0.32 * size)].all()
        assert not glasses[:, size // 2 + size // 8 :].any()


@pytest.mark.parametrize("share", corruptions.SHARES)
def test_a_rectangle_covers_its_share(share):
    faces = np.random.default_rng(0).integers(0, 256, (40, 48, 48, 3), np.uint8)
    covered = (corruptions.cover(faces, IDS, share=share) != faces).any(axis=-1)
    np.testing.assert_allclose(covered.mean(axis=(1, 2)), share, atol=0.015)
    if share:
        places = {tuple(np.argwhere(face).mean(axis=0)) for face in covered}
        assert len(places) > 20


@pytest.mark.parametrize("side", [17, 32, 96])
@pytest.mark.parametrize("share", [0.7, 0.9, 1.0])
def test_no_share_leaves_a_face_free(side, share):
    faces = np.full((40, side, side, 3), 1, np.uint8)
    covered = (corruptions.cover(faces, IDS, share=share) != faces).any(axis=-1)
    np.testing.assert_allclose(covered.mean(axis=(1, 2)), share, atol=0.04)


@pytest.mark.parametrize("degrees", [-45.0, -10.0, 0.0, 30.0])
def test_a_turn_is_that_of_a_cylinder(degrees):
    """Against the definition, pixel by pixel; every row is moved alike."""
    face = np.random.default_rng(0).integers(0, 256, (2, 31, 3), np.uint8)
    turned = turns.turn_face(face, degrees=degrees)
    for column in range(31):
        x = (2 * (column + 0.5) / 31 - 1) * math.sin(1.2)
        angle = min(max(math.asin(x) + math.radians(degrees), -1.2), 1.2)
        source = (math.sin(angle) / math.sin(1.2) + 1) / 2 * 31 - 0.5
        low = min(max(math.floor(source), 0), 30)
        high, share = min(low + 1, 30), min(max(source - low, 0), 1)
        want = (1 - share) * face[:, low].astype(float) + share * face[:, high]
        # OpenCV resamples at 32nds of a pixel.
        np.testing.assert_allclose(turned[:, column], want, atol=255 / 32)
    if degrees == 0:
        np.testing.assert_allclose(turned, face, atol=1)
    with pytest.raises(ValueError, match=r"`degrees` must be in -60..60. Received: degrees=90"):
        turns.turn_face(face, degrees=90)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="`kind` must be one of .* Received: kind='rain'"):
        corruptions.corrupt(grey_faces(), IDS, kind="rain")


def batches_of(faces, label):
    return [
        {
            "image": faces,
            "boxes": np.tile(np.float32([0, 0, 1, 1]), (40, 1, 1)),
            "mask": np.ones((40, 1), bool),
            "id": np.array([name.encode() for name in IDS]),
            "label": label,
            "occlusion": np.zeros(40, np.int64),
            "pose_30": np.zeros(40, bool),
            "pose_45": np.zeros(40, bool),
        }
    ]


def make_classifier(name, *, floor):
    """Says class 0 where the mean is above `floor`, else class 1."""

    def predict(batch):
        light = batch["image"].mean(axis=(1, 2, 3)) > floor
        probabilities = np.zeros((len(light), 8), np.float32)
        probabilities[np.arange(len(light)), np.where(light, 0, 1)] = 1
        return {"probabilities": probabilities, "weights": np.ones((len(light), 1), np.float32)}

    return Classifier(name=name, card=make_card(), predict=predict)


@pytest.fixture(scope="module")
def report():
    """A model that the dark defeats, and a baseline that nothing does."""
    batches = batches_of(grey_faces(), np.zeros(40, np.int64))
    kinds = ["grey rectangle", "hat", "darkness"]
    model, baseline = (
        trials.run(make_classifier(name, floor=floor), batches, kinds=kinds)
        for name, floor in (("model", 60), ("baseline", -1))
    )
    return trials.build_report(
        model, baseline=baseline, dataset="d", split="validation", command="c"
    )


def test_numbers_of_known_answers(report):
    names = ["clean", *(f"covered {i}0%" for i in range(1, 7)), "grey rectangle", "hat", "darkness"]
    assert list(report["model"]["conditions"]) == names
    clean, dark = (report["model"]["conditions"][n] for n in ("clean", "darkness"))
    assert (clean["accuracy"], clean["loss"], dark["accuracy"], dark["loss"]) == (1, 0, 0, 1)
    assert (dark["group"], dark["count"]) == ("degradation", 40)
    means = report["model"]["means"]
    hat = report["model"]["conditions"]["hat"]["accuracy"]
    assert means["held_out"]["kinds"] == 2
    assert means["held_out"]["accuracy"] == pytest.approx(hat / 2)
    assert report["baseline"]["means"]["held_out"]["loss"] == 0
    gap = report["differences"]["conditions"]["darkness"]
    assert gap["accuracy"] == -1 and gap["only_baseline_right"] == 40
    held_out = report["differences"]["means"]["held_out"]
    assert held_out["loss"] == pytest.approx(1 - hat / 2) == pytest.approx(-held_out["accuracy"])


def test_each_condition_covers_the_share_in_its_name():
    seen = []

    def predict(batch):
        seen.append((np.asarray(batch["image"]) != grey_faces()).any(axis=-1).mean())
        return {
            "probabilities": np.eye(8, dtype=np.float32)[np.zeros(40, int)],
            "weights": np.ones((40, 1), np.float32),
        }

    batches = batches_of(grey_faces(), np.zeros(40, np.int64))
    assert len(batches) == 1
    classifier = Classifier(name="model", card=make_card(), predict=predict)
    trial = trials.run(classifier, batches, kinds=[])
    # A rectangle may have the grey of a pixel that it covers.
    np.testing.assert_allclose(seen, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], atol=0.03)
    assert list(trial.right) == ["clean", *(f"covered {i}0%" for i in range(1, 7))]


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_opacity_is_where_a_face_changes(kind):
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), np.uint8)
    opacity = corruptions.opacity(faces, IDS[:8], kind=kind)
    if kind in corruptions.KINDS and opacity is None:
        assert corruptions.KINDS[kind] in ("seen", "degradation", "turn")
        return
    changed = corruptions.corrupt(faces, IDS[:8], kind=kind) != faces
    assert not changed[opacity == 0].any()
    # A pixel may have the colour of what covers it.
    assert changed[opacity > 0.5].any(axis=-1).mean() > 0.9 and 0 < opacity.mean() < 0.8


def test_exposure_of_known_weights():
    """Whose weights are those of the whole face, or of both halves alike."""
    boxes = np.tile(np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1]]), (40, 1, 1))
    batch = batches_of(grey_faces(), np.zeros(40, np.int64))[0]
    batch |= {"boxes": boxes, "mask": np.ones((40, 3), bool)}
    looks = (([0, 0.5, 0.5], 1.0), ([1, 0, 0], 1.0), ([1 / 3] * 3, 1.0), ([0, 0, 1], 0.0))
    for weights, want in looks:  # the last at the lower half, which no hat covers

        def predict(batch, weights=weights):
            said = np.eye(8, dtype=np.float32)[np.zeros(len(batch["id"]), int)]
            return {"probabilities": said, "weights": np.tile(np.float32(weights), (40, 1))}

        classifier = Classifier(name="m", card=make_card(), predict=predict)
        trial = trials.run(classifier, [batch], kinds=["hat", "darkness"])
        assert set(trial.exposure) == {"hat", *trials.COVERED}
        assert trial.exposure["hat"] == pytest.approx(want, abs=0.02)
    covered = np.float32([[0.5, 1.0, 0.0], [0.2, np.nan, 0.2]])
    away = np.float32([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]])
    assert exposure.exposure(away, covered) == pytest.approx((0.25 + 0.2) / (0.5 + 0.2))
    assert exposure.exposure(away[:, :1], covered[:, :1]) is None
    assert exposure.exposure(away, np.zeros((2, 3))) is None


def test_means_compare_losses_and_conditions_accuracies(report):
    for rows, section, measure in (
        (robustness_report.rows(report), "conditions", "accuracy"),
        (robustness_report.mean_rows(report), "means", "loss"),
    ):
        head, *body = rows
        for cells, gap in zip(body, report["differences"][section].values(), strict=True):
            assert cells[-2] == f"{100 * gap[measure]:+.2f}" and len(cells) == len(head)


def test_the_report_as_text_and_plot(report, tmp_path):
    robustness_report.write(report, tmp_path)
    written = json.loads((tmp_path / "robustness.json").read_text())
    assert written["differences"] == report["differences"]
    text = (tmp_path / "robustness.md").read_text()
    assert "| darkness | degradation | 0.00 |" in text and "| all held out | 2 |" in text
    assert (tmp_path / "covered.png").read_bytes().startswith(b"\x89PNG")
    alone = {k: v for k, v in report.items() if k not in ("baseline", "differences")}
    robustness_report.write(alone, tmp_path)
    assert "baseline %" not in (tmp_path / "robustness.md").read_text()


def test_other_faces_are_refused():
    batches = batches_of(grey_faces(), np.zeros(40, np.int64))
    model = trials.run(make_classifier("model", floor=0), batches, kinds=["hat"])
    other = trials.run(make_classifier("model", floor=0), batches, kinds=[])
    with pytest.raises(ValueError, match="same faces and conditions"):
        trials.build_report(model, baseline=other, dataset="d", split="s", command="c")


@pytest.fixture
def saved(tmp_path):
    """The work directory of a run on drawn faces."""
    card = make_card(dataset="synthetic_faces")
    records.save_best(tmp_path / "run", model=make_model(), card=card, metrics={"epoch": 1})
    return tmp_path / "run"


def try_robustness(saved, *, data_dir, **changes):
    changes = {"data": "validation", **changes}
    return ran_tf.robustness(saved, kinds=[], data_dir=str(data_dir), **changes).numbers


def test_a_limit_beyond_the_split_is_the_split(synthetic_dir, saved):
    report = try_robustness(saved, data_dir=synthetic_dir, data="validation[:8]", limit=1000)
    assert report["faces"] == 8 and report["split"] == "validation[:8]"


def test_a_limit_goes_with_a_plain_split(synthetic_dir, saved):
    with pytest.raises(ValueError, match=r"plain name.*split='validation\[:4\]\+test\[:4\]'"):
        try_robustness(saved, data_dir=synthetic_dir, data="validation[:4]+test[:4]", limit=2)


def test_a_damaged_dataset_is_named(synthetic_dir, saved, tmp_path):
    data_dir = shutil.copytree(synthetic_dir, tmp_path / "tfds")
    (file,) = data_dir.rglob("*validation.tfrecord*")
    os.truncate(file, 3000)
    with pytest.raises(damage.DamagedDatasetError, match=f"not whole: {file} is damaged after"):
        try_robustness(saved, data_dir=data_dir)


def test_the_command(synthetic_dir, saved, tmp_path, parse, capsys):
    arguments = [f"--model={saved}", "--limit=8", f"--data_dir={synthetic_dir}"]
    parse(*arguments, "--kinds=hat,blur", f"--out={tmp_path / 'out'}", command=robustness_command)
    robustness_command.main()
    report = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert report["faces"] == 8 and report["split"] == "validation[:8]"
    assert list(report["model"]["means"]) == ["seen", "occluder", "held_out"]
    assert "all held out" in capsys.readouterr().out


def flat_faces(grey):
    return np.full((len(IDS), 48, 48, 3), grey, np.uint8)


def test_kinds_that_training_shows_are_what_they_are_called():
    """Counted on faces of one grey: upside down they are the same."""
    greys = {
        kind: [len(np.unique(f)) for f in corruptions.corrupt(flat_faces(100), IDS, kind=kind)]
        for kind in ("grey rectangle", "grey ellipse", "noise patch", "own texture")
    }
    assert set(greys["own texture"]) == {1} and min(greys["noise patch"]) > 10
    assert max(greys["grey rectangle"]) == max(greys["grey ellipse"]) == 2


def test_darkness_leaves_a_tenth_to_a_fifth():
    white = corruptions.corrupt(flat_faces(255), IDS, kind="darkness")
    assert 25 <= white.min() < 30 and 46 < white.max() <= 51


def test_twelve_pixels_are_twelve():
    """Squares of two pixels vanish at a quarter of the size, and not at half of it."""
    board = np.kron(np.indices((24, 24)).sum(0) % 2, np.ones((2, 2)))
    faces = np.tile((255 * board).astype(np.uint8)[None, ..., None], (2, 1, 1, 3))
    assert np.ptp(corruptions.corrupt(faces, IDS[:2], kind="12 pixels").astype(int)) <= 1


def test_a_loss_is_from_the_models_own_clean_accuracy():
    def trial(clean, dark):
        right = {trials.CLEAN: np.arange(40) < clean, "darkness": np.arange(40) < dark}
        return trials.Trial(name="m", card=make_card(), ids=np.array(IDS), right=right)

    made = trials.build_report(
        trial(20, 20), baseline=trial(40, 30), dataset="d", split="s", command="c"
    )
    gap = made["differences"]["means"]["held_out"]
    assert gap["accuracy"] == pytest.approx(-0.25) and gap["loss"] == pytest.approx(-0.25)


def test_a_map_of_attention_against_equal_weights():
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.25, 0, 1, 0.5]])
    equal = looks.attention_map(np.float32([1, 1, 1]) / 3, boxes)
    np.testing.assert_allclose(equal, 1.0)
    found = looks.attention_map(np.float32([0.2, 0.8, 0.0]), boxes)
    side = len(found)
    # By hand, of places that lie in all three, in the upper two, and in the whole face alone.
    for (row, column), (own, there) in {
        (0.3, 0.3): (1.0, 3),
        (0.1, 0.9): (1.0, 2),
        (0.9, 0.9): (0.2, 1),
    }.items():
        got = found[int(row * side), int(column * side)]
        np.testing.assert_allclose(got, own / (there / 3))


def test_looks_are_of_the_same_faces_as_they_are_and_covered():
    """By a network whose first region weighs as much as the face is dark."""
    faces = grey_faces()[:3]
    batch = {
        "id": np.array([name.encode() for name in IDS[:3]]),
        "image": faces,
        "boxes": np.broadcast_to(np.float32([[0, 0, 1, 1], [0.5, 0, 1, 1]]), (3, 2, 4)),
        "mask": np.ones((3, 2), bool),
    }

    def predict(batch):
        dark = 1 - batch["image"].mean(axis=(1, 2, 3)) / 255
        return {"weights": np.stack([dark, 1 - dark], axis=1).astype(np.float32)}

    classifier = Classifier(name="x", card=make_card(), predict=predict)
    kinds = ["sunglasses", "JPEG", "surgical mask"]
    found = looks.find(classifier, batch, kinds=kinds, faces=2)
    assert [look.kind for look in found] == ["sunglasses"] * 2 + ["surgical mask"] * 2
    for i, look in enumerate(found):
        shown = corruptions.corrupt(faces[i % 2 :][:1], IDS[i % 2 :][:1], kind=look.kind)[0]
        np.testing.assert_array_equal(look.faces, [faces[i % 2], shown])
        np.testing.assert_allclose(
            look.weights[:, 0], 1 - look.faces.mean(axis=(1, 2, 3)) / 255, atol=1e-6
        )
    assert found[2].covered[1] > 0.4 > found[0].covered[1]
    alone = {**batch, "boxes": batch["boxes"][:, :1], "mask": batch["mask"][:, :1]}
    assert looks.find(classifier, alone, kinds=kinds) == []
    assert looks.figure(found).axes
