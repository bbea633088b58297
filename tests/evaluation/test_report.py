"""The report of an evaluation, on predictions whose answers are known."""

import dataclasses
import json

import numpy as np
import pytest
from matplotlib import image

import ran_tf
from ran_tf import vocabulary
from ran_tf.config import RegionConfig
from ran_tf.evaluation import exposure, joined, markdown, predictions, report
from ran_tf.inference import runner
from ran_tf.inference.classifier import Classifier, mirror
from ran_tf.training import workers
from ran_tf.weights.card import ModelCard

LABELS = vocabulary.LABELS["ferplus"]
SUBSET_SIZES = {"all": 100, "occlusion": 40, "pose_30": 20, "pose_45": 0}


def make_card(*, k=6):
    return ModelCard(
        dataset="ferplus",
        labels=LABELS,
        image_size=(32, 32),
        regions=RegionConfig(k=k),
        model={
            "backbone": "mobilenet_v1",
            "num_classes": 8,
            "attention": "sigmoid",
            "relation": True,
            "size": (32, 32),
        },
    )


def make_predictions(right, *, k=6):
    """100 faces of classes 0 and 1 by turns; faces 0..39 occluded, 30..49 turned.

    Where `right`, the true class has probability .8, elsewhere its neighbour (1 or 2) has.
    """
    label = np.arange(100) % 2
    said = np.where(right, label, label + 1)
    probabilities = np.full((100, 8), 0.2 / 7, np.float32)
    probabilities[np.arange(100), said] = 0.8
    occlusion = np.repeat([1, 2, 3, 4, 0, 0], [10, 10, 10, 10, 10, 50])
    weights = np.full((100, k), 1 / k, np.float32)
    if k == 6:
        weights[:10] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]  # upper part covered: the bottom decides
    return predictions.Predictions(
        id=np.asarray([f"fer{i:07d}.png" for i in range(100)]),
        label=label,
        probabilities=probabilities,
        weights=weights,
        mu=weights / 2,
        occlusion=occlusion,
        pose_30=(np.arange(100) >= 30) & (np.arange(100) < 50),
        pose_45=np.zeros(100, bool),
    )


def make_report(model, *, baseline=None, k=6):
    return report.build_report(
        report.Evaluated(name="runs/ran", card=make_card(k=k), predictions=model),
        baseline=baseline
        and report.Evaluated(name="runs/face", card=make_card(k=1), predictions=baseline),
        dataset="ferplus/majority/1.0.0",
        split="test",
        flip_average=True,
        command="python -m ran_tf.launch.evaluate --workdir=runs/ran",
    )


# Wrong on the first ten faces, which are five of each class.
TEN_WRONG = np.arange(100) >= 10


def test_numbers_of_known_predictions():
    made = make_report(make_predictions(TEN_WRONG))
    assert list(made["subsets"]) == list(vocabulary.SUBSETS)
    assert {name: row["count"] for name, row in made["subsets"].items()} == SUBSET_SIZES
    whole, covered, turned = (made["subsets"][n] for n in ("all", "occlusion", "pose_30"))
    assert (whole["accuracy"], covered["accuracy"], turned["accuracy"]) == (0.9, 0.75, 1.0)
    # Wilson for 90 of 100, from the formula by hand.
    assert whole["accuracy_ci95"] == pytest.approx([0.82563, 0.94477], abs=1e-5)
    assert whole["confusion"][0][:3] == [45, 5, 0]
    assert whole["confusion"][1][:3] == [0, 45, 5]
    assert whole["class_recall"] == [0.9, 0.9] + [None] * 6
    assert whole["mean_class_accuracy"] == pytest.approx(0.9)
    assert whole["ece"] == pytest.approx(0.1, abs=1e-6)  # .9 right at confidence .8
    wrong = 10 * -np.log(0.2 / 7) + 90 * -np.log(0.8)
    assert whole["nll"] == pytest.approx(wrong / 100, abs=1e-5)
    assert made["occlusions"]["upper"]["accuracy"] == 0.0
    assert made["occlusions"]["none"]["count"] == 60


def test_exposure_by_kind_of_occlusion():
    found = make_predictions(np.ones(100, bool))
    assert make_report(found)["occlusions"]["upper"]["exposure"] is None
    boxes = np.tile(ran_tf.fixed_boxes(6), (100, 1, 1))
    batch = {"occlusion": found.occlusion, "boxes": boxes, "mask": np.ones((100, 6), bool)}
    batch["mask"][10:20, 1:] = False  # of the second ten the whole face alone is known
    covered = exposure.listed_shares(batch)
    made = make_report(dataclasses.replace(found, covered=covered))
    # All weight is on the lower region, which begins at a quarter of the height.
    y0, _, y1, _ = boxes[0].T
    shares = np.clip((0.35 - y0) / (y1 - y0), 0, 1)
    assert made["occlusions"]["upper"]["exposure"] == pytest.approx(shares[3] / shares.mean(), 0.02)
    assert made["occlusions"]["lower"]["exposure"] == pytest.approx(1 / 6)
    assert made["occlusions"]["side"]["exposure"] is made["occlusions"]["none"]["exposure"] is None
    assert "xposure" in markdown.render(made)


def test_accuracy_by_agreement_of_the_annotators():
    found = make_predictions(np.arange(100) % 4 < 3)
    assert make_report(found)["agreement"] is None
    votes = np.zeros((100, 8), np.float32)
    share = np.where(np.arange(100) % 4 < 3, 1.0, np.float32(0.7))
    votes[np.arange(100), found.label], votes[np.arange(100), 7] = share, 1 - share
    votes[0] = 0  # not known
    made = make_report(dataclasses.replace(found, votes=votes))["agreement"]
    rows = {name: (row["count"], row["accuracy"]) for name, row in made["shares"].items()}
    assert rows["100 %"] == (74, 1.0) and rows["70 to 80 %"] == (25, 0.0)
    assert sum(count for count, _ in rows.values()) == 99
    assert 0.9 < made["ceiling"] < 1.0


def test_occlusions_of_no_named_kind_are_seen():
    found = make_predictions(TEN_WRONG)
    assert "unspecified" not in make_report(found)["occlusions"]
    found.occlusion[:40] = 5  # AffectNet's list does not say which
    made = make_report(found)
    assert made["occlusions"]["unspecified"]["accuracy"] == 0.75
    assert made["subsets"]["occlusion"]["count"] == made["occlusions"]["unspecified"]["count"] == 40
    equal, bottom = np.full(6, 1 / 6), np.eye(6)[3]
    np.testing.assert_allclose(
        made["regions"]["weights"]["unspecified"], (30 * equal + 10 * bottom) / 40, rtol=1e-6
    )
    text = markdown.render(made)
    assert "| unspecified | 40 | 75.00 |" in text
    assert "| glasses |" not in text, "nobody wears any"


def test_an_empty_subset_is_nulls():
    empty = make_report(make_predictions(TEN_WRONG), baseline=make_predictions(TEN_WRONG, k=1))
    row = empty["subsets"]["pose_45"]
    assert row["count"] == 0 and not np.any(row["confusion"])
    keys = ("accuracy", "accuracy_ci95", "mean_class_accuracy", "ece", "nll")
    assert [row[key] for key in keys] == [None] * 5
    none = {"accuracy": None, "accuracy_ci95": None, "only_model_right": 0}
    assert empty["differences"]["pose_45"] == {"count": 0, **none, "only_baseline_right": 0}
    assert "No face of this split is marked as `pose_45`." in markdown.render(empty)


def test_a_subset_of_one_face_has_every_number():
    faces = dataclasses.replace(make_predictions(TEN_WRONG), pose_45=np.arange(100) == 50)
    row = make_report(faces)["subsets"]["pose_45"]
    assert row["count"] == 1 and row["mean_class_accuracy"] == 1.0
    assert row["nll"] == pytest.approx(-np.log(0.8)) and row["ece"] == pytest.approx(0.2)


def test_region_weights_by_kind_of_occlusion():
    made = make_report(make_predictions(TEN_WRONG))["regions"]
    assert made["names"][:4] == ["whole face", "top left 75%", "top right 75%", "bottom 75%"]
    assert made["weights"]["upper"] == [0, 0, 0, 1, 0, 0]
    assert made["mu"]["side"] == pytest.approx([1 / 12] * 6)


def test_a_whole_face_model_has_no_weights():
    made = make_report(make_predictions(TEN_WRONG, k=1), k=1)
    assert made["regions"] is None
    assert "Region weights" not in markdown.render(made)


def test_differences_are_joined_by_id():
    baseline_right = (np.arange(100) >= 20) & (np.arange(100) < 95)
    baseline = make_predictions(baseline_right, k=1)
    shuffled = baseline.in_order_of(np.random.default_rng(0).permutation(baseline.id))
    assert not np.array_equal(shuffled.id, baseline.id)
    model = make_predictions(TEN_WRONG)
    made = make_report(model, baseline=shuffled)
    whole = made["differences"]["all"]
    assert whole["accuracy"] == pytest.approx(0.15)
    assert (whole["only_model_right"], whole["only_baseline_right"]) == (15, 0)
    low, high = whole["accuracy_ci95"]
    assert 0.07 < low < 0.15 < high < 0.23
    assert made["differences"]["occlusion"]["accuracy"] == pytest.approx(10 / 40)
    assert made["differences"]["pose_30"]["accuracy_ci95"] == [0.0, 0.0]
    assert made["baseline"]["subsets"]["all"]["accuracy"] == 0.75
    swapped = make_report(baseline, baseline=model)["differences"]["all"]
    assert swapped["accuracy"] == pytest.approx(-0.15)
    assert (swapped["only_model_right"], swapped["only_baseline_right"]) == (0, 15)


def test_a_baseline_of_other_faces_is_refused():
    model, baseline = make_predictions(TEN_WRONG), make_predictions(TEN_WRONG, k=1)
    baseline.id[3] = "other.png"
    with pytest.raises(ValueError, match="Received: 2 ids in only one of them"):
        make_report(model, baseline=baseline)
    baseline = make_predictions(TEN_WRONG, k=1)
    baseline.label[7] = 5
    with pytest.raises(ValueError, match=r"true labels differ.*first id='fer0000007.png'"):
        make_report(model, baseline=baseline)


def test_the_written_report(tmp_path):
    out = tmp_path / "new" / "report"
    made = make_report(make_predictions(TEN_WRONG), baseline=make_predictions(~TEN_WRONG, k=1))
    report.write_report(made, out)
    assert sorted(p.name for p in out.iterdir()) == [
        "attention.png",
        "confusion_all.png",
        "confusion_occlusion.png",
        "confusion_pose_30.png",
        "region_weights.png",
        "report.json",
        "report.md",
    ]
    read = json.loads((out / "report.json").read_text())
    assert read["dataset"] == "ferplus/majority/1.0.0" and read["labels"] == list(LABELS)
    assert read["subsets"] == made["subsets"] and read["differences"] == made["differences"]
    for path in out.glob("*.png"):
        height, width, _ = image.imread(path).shape
        assert width > height > 300
    text = (out / "report.md").read_text()
    assert "| all | 100 | 90.00 | 82.56 to 94.48 | 90.00 | 10.00 |" in text
    assert "| all | 100 | 90.00 | 10.00 | +80.00 |" in text
    assert "| neutral | 90.0 (50) | 75.0 (20) | 100.0 (10) | - |" in text
    for expected in (made["command"], "Flip averaging: yes", "ferplus/majority/1.0.0", "6 fixed"):
        assert expected in text
    # A report of a whole-face model in the same place leaves no figure of the older one.
    report.write_report(make_report(make_predictions(TEN_WRONG, k=1), k=1), out)
    assert not (out / "region_weights.png").exists()
    assert "region_weights" not in (out / "report.md").read_text()


def make_batches(*, k, sizes=(3, 2)):
    """Batches as `eval_batches` makes them, with NumPy values."""
    rng = np.random.default_rng(0)
    box = np.asarray([(0, 0, 1, 1), (0, 0, 0.5, 0.75), (0.25, 0.5, 1, 1)], np.float32)[:k]
    start = 0
    for b in sizes:
        yield {
            "image": rng.integers(0, 256, (b, 32, 32, 3), np.uint8),
            "boxes": np.tile(box, (b, 1, 1)),
            "mask": np.ones((b, k), bool),
            "label": np.arange(b, dtype=np.int64),
            "id": np.asarray([f"é{start + i}".encode() for i in range(b)], object),
            "occlusion": np.zeros(b, np.int64),
            "pose_30": np.zeros(b, bool),
            "pose_45": np.zeros(b, bool),
        }
        start += b


def brightness_of_left_half(batch):
    """A model whose answer depends on the side that light comes from, and on the boxes."""
    share = batch["image"][:, :, :16].mean(axis=(1, 2, 3)) / 255
    probabilities = np.stack([share, 1 - share], axis=1).astype(np.float32)
    return {"probabilities": probabilities, "weights": batch["boxes"][:, :, 1]}


def test_flip_averaging_is_the_mean_of_both_sides():
    model = Classifier(name="m", card=make_card(), predict=brightness_of_left_half)
    seen = []
    plain = predictions.collect(model, make_batches(k=3), on_faces=seen.append)
    both = predictions.collect(model, make_batches(k=3), flip_average=True)
    assert seen == [3, 2] and plain.mu is None
    assert plain.id.tolist() == ["é0", "é1", "é2", "é3", "é4"]
    for i, face in enumerate(np.concatenate([b["image"] for b in make_batches(k=3)])):
        left, right = face[:, :16].mean() / 255, face[:, 16:].mean() / 255
        assert plain.probabilities[i, 0] == pytest.approx(left, abs=1e-6)
        assert both.probabilities[i, 0] == pytest.approx((left + right) / 2, abs=1e-6)
    np.testing.assert_array_equal(both.weights, plain.weights)


def test_the_mirror_keeps_each_region_on_its_content():
    batch = next(make_batches(k=3))
    mirrored = mirror(batch)
    for i in range(3):
        for (y0, x0, y1, x1), (v0, u0, v1, u1) in zip(
            (batch["boxes"][i] * 32).astype(int),
            (mirrored["boxes"][i] * 32).astype(int),
            strict=True,
        ):
            crop = batch["image"][i, y0:y1, x0:x1]
            np.testing.assert_array_equal(mirrored["image"][i, v0:v1, u0:u1], crop[:, ::-1])


def test_broken_predictions_are_named():
    def nothing(batch):
        probabilities = np.full((len(batch["id"]), 2), np.nan)
        return {"probabilities": probabilities, "weights": np.ones((len(batch["id"]), 1))}

    model = Classifier(name="m", card=make_card(k=1), predict=nothing)
    with pytest.raises(ValueError, match="5 of 5 faces, first id='é0'"):
        predictions.collect(model, make_batches(k=1))
    with pytest.raises(ValueError, match="at least one face"):
        predictions.collect(model, [])
    twice = [next(make_batches(k=1)), next(make_batches(k=1))]
    known = Classifier(name="m", card=make_card(), predict=brightness_of_left_half)
    with pytest.raises(ValueError, match=r"`id` must be unique.*'é0' 2 times"):
        predictions.collect(known, twice)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"work directory of a training run .*'.*nowhere'"):
        runner.load(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"at least one finished epoch; card.json"):
        runner.load(tmp_path)


@pytest.mark.parametrize("batch_size", [7, 8])
def test_the_shares_of_two_workers_come_back_in_order(monkeypatch, batch_size):
    whole = make_predictions(TEN_WRONG)
    faces = len(whole.id)
    place = np.arange(faces) % batch_size

    def rows_of(worker):
        fields = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)}
        told = {n: v[place % 2 == worker] for n, v in fields.items() if v is not None}
        return type(whole)(**told)

    sent = []
    monkeypatch.setattr(workers, "count", lambda strategy: 2)
    monkeypatch.setattr(workers, "gather", lambda strategy, rows: sent.append(rows) or rows)
    for worker in (0, 1):  # each alone is too few, and says so when it has sent all
        with pytest.raises(RuntimeError, match="every face once"):
            joined.join(None, rows_of(worker), faces=faces, batch_size=batch_size)
    answers = iter([np.concatenate(sent[::2]), np.concatenate(sent[1::2])])
    monkeypatch.setattr(workers, "gather", lambda strategy, rows: next(answers))
    found = joined.join(None, rows_of(0), faces=faces, batch_size=batch_size)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(
            getattr(found, field.name), getattr(whole, field.name), err_msg=field.name
        )
