"""Where models look, face by face against plain Python, and the figures that show it."""

import dataclasses
import json

import numpy as np
import pytest

from ran_tf.evaluation import explain, markdown, plots, report
from tests.evaluation.test_report import (
    LABELS,
    TEN_WRONG,
    make_batches,
    make_card,
    make_predictions,
    make_report,
)


def with_attention(*, lift=0.05, k=6):
    """Faces 0..24 have a crop `lift` above the whole face, all others one that much below."""
    predictions = make_predictions(TEN_WRONG, k=k)
    whole = np.linspace(0.3, 0.6, 100)
    mu = np.tile((whole - 0.1)[:, None], (1, k))
    mu[:, 0] = whole
    mu[np.arange(100), 1 + np.arange(100) % (k - 1)] = whole + np.where(
        np.arange(100) < 25, lift, -lift
    )
    predictions.mu[:] = mu
    predictions.weights[:] = np.random.default_rng(0).dirichlet(np.ones(k), 100)
    return predictions


def test_weights_by_pose():
    predictions = with_attention()
    found = explain.explain(predictions, margin=0.02)["pose_weights"]
    for name, faces in {
        "unturned": [i for i in range(100) if not 30 <= i < 50],
        "pose_30": range(30, 50),
    }.items():
        for region in range(6):
            mean = sum(float(predictions.weights[i, region]) for i in faces) / len(faces)
            assert found[name][region] == pytest.approx(mean, abs=1e-6)
    assert found["pose_45"] is None, "no face is"


def test_how_often_a_crop_beats_the_whole_face():
    predictions = with_attention()
    mu = explain.explain(predictions, margin=0.02)["mu"]
    shares = {name: row["share"] for name, row in mu["above_margin"].items()}
    assert shares == {"all": 0.25, "occlusion": 25 / 40, "pose_30": 0.0, "pose_45": None}
    # Wilson for 25 of 100, from the formula by hand.
    assert mu["above_margin"]["all"]["share_ci95"] == pytest.approx([0.17545, 0.34305], abs=1e-5)
    assert mu["margin"] == 0.02
    best = [max(row[1:]) for row in predictions.mu.tolist()]
    whole = [row[0] for row in predictions.mu.tolist()]
    assert mu["whole_face"]["mean"] == pytest.approx(np.mean(whole))
    assert mu["best_crop"]["mean"] == pytest.approx(np.mean(best))
    assert mu["difference"]["mean"] == pytest.approx(np.mean(best) - np.mean(whole))
    assert mu["whole_face"]["edges"] == mu["best_crop"]["edges"], "drawn over each other"
    for key, values in (("whole_face", whole), ("best_crop", best)):
        edges, faces = mu[key]["edges"], mu[key]["faces"]
        assert len(edges) == len(faces) + 1 and sum(faces) == 100
        low = sum(value < edges[10] - 1e-9 for value in values)
        assert abs(sum(faces[:10]) - low) <= 1
    nobody = explain.explain(with_attention(lift=0.019), margin=0.02)["mu"]
    assert nobody["above_margin"]["all"]["share"] == 0.0, "below the margin"


def test_faces_without_a_crop_are_not_asked_whether_it_is_ahead():
    # The last ten faces have no landmarks: their crops are masked.
    predictions = with_attention()
    for values in (predictions.weights, predictions.mu):
        values[90:, 1:] = 0.0
    mu = explain.explain(predictions, margin=0.02)["mu"]
    assert mu["above_margin"]["all"]["count"] == 90
    assert mu["above_margin"]["all"]["share"] == pytest.approx(25 / 90)
    assert (
        mu["above_margin"]["occlusion"]
        == explain.explain(with_attention(), margin=0.02)["mu"]["above_margin"]["occlusion"]
    ), "all occluded faces have crops"
    best = [max(row[1:]) for row in predictions.mu[:90].tolist()]
    assert mu["best_crop"]["mean"] == pytest.approx(np.mean(best))
    assert sum(mu["whole_face"]["faces"]) == 90
    predictions.weights[:, 1:] = 0.0
    assert explain.explain(predictions, margin=0.02)["mu"] is None, "no face has any"


def test_models_that_do_not_tell():
    assert explain.explain(make_predictions(TEN_WRONG, k=1), margin=0.02) == {
        "pose_weights": None,
        "mu": None,
    }
    exported = with_attention()
    object.__setattr__(exported, "mu", None)
    told = explain.explain(exported, margin=0.02)
    assert told["mu"] is None and told["pose_weights"]["pose_30"]


def test_largest_disagreements():
    model, baseline = with_attention(), make_predictions(TEN_WRONG, k=1)
    rng = np.random.default_rng(1)
    model.probabilities[:] = rng.dirichlet(np.ones(8), 100)
    baseline.probabilities[:] = rng.dirichlet(np.ones(8), 100)
    distances = {
        str(model.id[i]): sum(
            abs(float(p) - float(q))
            for p, q in zip(model.probabilities[i], baseline.probabilities[i], strict=True)
        )
        / 2
        for i in range(100)
    }
    found = explain.disagreements(model, baseline, labels=LABELS)
    expected = sorted(distances, key=lambda name: -distances[name])[:24]
    assert [face["id"] for face in found] == expected
    first = found[0]
    i = int(np.flatnonzero(model.id == first["id"])[0])
    assert first["distance"] == pytest.approx(distances[first["id"]], abs=1e-6)
    assert first["truth"] == LABELS[i % 2]
    for name, predictions in (("model", model), ("baseline", baseline)):
        assert first[name]["label"] == LABELS[int(predictions.probabilities[i].argmax())]
        assert first[name]["probability"] == pytest.approx(predictions.probabilities[i].max())
    assert len(explain.disagreements(model, baseline, labels=LABELS, most=200)) == 100


def test_the_baseline_is_joined_before_it_is_compared():
    model, baseline = with_attention(), make_predictions(~TEN_WRONG, k=1)
    plain = make_report(model, baseline=baseline)
    shuffled = baseline.in_order_of(np.random.default_rng(0).permutation(baseline.id))
    assert make_report(model, baseline=shuffled)["disagreements"] == plain["disagreements"]
    assert plain["baseline"]["explain"]["mu"] is None


def test_faces_are_found_by_id():
    whole = np.concatenate([batch["image"] for batch in make_batches(k=1)])
    found = explain.find_images(make_batches(k=1), ["é4", "é0"])
    assert set(found) == {"é4", "é0"}
    np.testing.assert_array_equal(found["é4"], whole[4])
    np.testing.assert_array_equal(found["é0"], whole[0])

    def never():
        raise AssertionError("no face is wanted")
        yield

    assert explain.find_images(never(), []) == {}


@pytest.mark.parametrize("count", [1, 6, 7, 24])
def test_the_contact_sheet(count):
    """Every face once, under its truth; a sign and a colour tell right from wrong."""
    faces = {f"{i}": np.full((8, 8, 3), i, np.uint8) for i in range(count)}
    said = [
        {
            "id": f"{i}",
            "distance": 0.5,
            "truth": "fear",
            "model": {"label": "fear", "probability": 0.61},
            "baseline": {"label": "anger", "probability": 0.42},
        }
        for i in range(count)
    ]
    figure = plots.contact_sheet(said, faces)
    shown = [axis for axis in figure.axes if axis.images]
    assert [int(axis.images[0].get_array()[0, 0, 0]) for axis in shown] == list(range(count))
    for axis in shown:
        assert axis.get_title() == "fear"
        model, baseline = axis.texts
        assert model.get_text() == "\N{CHECK MARK} model: fear 61%"
        assert baseline.get_text() == "\N{BALLOT X} baseline: anger 42%"
        assert model.get_color() != baseline.get_color()


def test_the_report_shows_it(tmp_path):
    model, baseline = with_attention(), with_attention(lift=0.01)
    baseline.probabilities[:] = np.roll(baseline.probabilities, 1, axis=1)
    made = report.build_report(
        report.Evaluated(name="runs/ran", card=make_card(), predictions=model),
        baseline=report.Evaluated(
            name="runs/other",
            card=dataclasses.replace(make_card(), loss_margin=0.005),
            predictions=baseline,
        ),
        dataset="ferplus/majority/1.0.0",
        split="test",
        flip_average=False,
        command="evaluate",
    )
    faces = {face["id"]: np.zeros((8, 8, 3), np.uint8) for face in made["disagreements"]}
    report.write_report(made, tmp_path, find_faces=lambda ids: faces)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["explain"] == made["explain"] and len(read["disagreements"]) == 24
    names = {path.name for path in tmp_path.glob("*.png")}
    assert {"attention.png", "disagreements.png", "region_weights.png"} <= names
    text = (tmp_path / "report.md").read_text()
    assert "| model | 0.4500 | 0.4250 | 0.02 | 25.00 (17.55 to 34.30) | 62.50 " in text
    # Its crops are .01 ahead on a quarter of the faces, as its own margin asks.
    assert "| baseline | 0.4500 | 0.4450 | 0.005 | 25.00 (17.55 to 34.30) |" in text
    assert f"| {made['disagreements'][0]['id']} | " in text
    for row in ("| unturned | ", "| pose_30 | "):
        assert row in text
    assert "| pose_45 | -" not in markdown.render(made).partition("## Region weights")[2]
