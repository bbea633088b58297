"""What `experiments/region_worth.py` reads from features, against the network itself."""

import json
import pathlib
import sys

import numpy as np
import pytest

import ran_tf
from ran_tf.config import RegionConfig
from ran_tf.weights import records
from tests.exports.test_export import make_card, make_model
from tests.fixtures import tiny_backbone as tiny_backbone  # registers "tiny"

BENCHMARKS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture
def region_worth(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import region_worth

    return region_worth


@pytest.mark.parametrize("arguments", [{}, {"relation": False}, {"attention": "softmax"}])
def test_readings_are_what_the_network_says(region_worth, arguments):
    model = ran_tf.RegionAttentionNetwork("tiny", 4, size=(32, 32), **arguments)
    model.self_attention.query.kernel.assign(model.self_attention.query.kernel * 20.0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    boxes = np.stack([ran_tf.fixed_boxes(6)] * len(image))
    read = region_worth.readings(model, model.region_features(image, boxes))
    said = model({"image": image, "boxes": boxes})
    np.testing.assert_array_equal(read["own"], np.argmax(said["logits"], axis=1))
    np.testing.assert_allclose(read["weights"], said["weights"], atol=1e-5)
    for region in range(6):
        alone = model({"image": image, "boxes": boxes[:, [region]]})["logits"]
        np.testing.assert_array_equal(read["single"][:, region], np.argmax(alone, axis=1))
    # Weights of nothing but a bias are equal ones.
    attention = [model.self_attention, *([model.relation_attention] if model.relation else [])]
    for layer in attention:
        layer.query.kernel.assign(layer.query.kernel * 0.0)
    even = model({"image": image, "boxes": boxes})["logits"]
    np.testing.assert_array_equal(read["equal"], np.argmax(even, axis=1))


def test_shares_are_counted_by_hand(region_worth):
    read = {
        "own": np.array([0, 1, 1]),
        "equal": np.array([0, 0, 1]),
        "single": np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1]]),
        "weights": np.full((3, 3), 1 / 3),
    }
    found = region_worth.summarise(read, np.array([0, 1, 1]))
    assert found["own_weights"] == 1 and found["equal_weights"] == pytest.approx(2 / 3)
    assert found["whole_face"] == pytest.approx(2 / 3) and found["any_region"] == 1
    np.testing.assert_allclose(found["single_regions"], [2 / 3, 1, 1 / 3])
    # The whole face errs on the second, where one crop of two does; elsewhere one of four does.
    assert (found["wrong_where_whole_face_is"], found["wrong_elsewhere"]) == (0.5, 0.25)
    np.testing.assert_allclose(found["mean_weights"], 1 / 3)


@pytest.fixture
def run(region_worth, synthetic_dir, tmp_path, monkeypatch):
    """Runs the command on a run whose network sees so many regions."""

    def run(**regions):
        card = make_card(dataset="synthetic_faces", regions=RegionConfig(**regions))
        records.save_best(tmp_path / "run", model=make_model(), card=card, metrics={"epoch": 1})
        given = [f"--data_dir={synthetic_dir}", "--split=validation[:11]"]
        given += [f"--model={tmp_path / 'run'}", f"--out={tmp_path / 'worth.json'}"]
        monkeypatch.setattr(sys, "argv", ["region_worth.py", *given])
        region_worth.main()

    return run


def test_the_command_writes_all_conditions(run, tmp_path):
    run(k=6)
    found = json.loads((tmp_path / "worth.json").read_text())["conditions"]
    assert list(found) == ["clean", "occluded", "turned"]
    for numbers in found.values():
        assert numbers["faces"] == 11 and sum(numbers["mean_weights"]) == pytest.approx(1)
        assert max(numbers["single_regions"]) <= numbers["any_region"]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"kind": "landmarks"}, "the same regions of every face"),
        ({"kind": "random", "k": 1}, "must see more than the whole face"),
    ],
)
def test_regions_that_cannot_be_compared_are_refused(run, capsys, regions, message):
    with pytest.raises(SystemExit):
        run(**regions)
    assert message in capsys.readouterr().err
