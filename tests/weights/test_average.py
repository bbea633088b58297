"""Means of weights: against NumPy, calibrated and not, and what cannot be averaged."""

import dataclasses

import numpy as np
import pytest

import ran_tf
from ran_tf.launch import make_preset
from ran_tf.weights import preset_file, records
from ran_tf.weights.weights_file import weights_by_path
from tests.exports.test_export import make_card, make_model


def network(seed: int, **card) -> ran_tf.RegionAttentionNetwork:
    """A small network whose weights are those of `make_model`, moved at random."""
    model = make_model().twin()
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + draw.uniform(0, 0.1, tuple(weight.shape)))
    model.card = make_card(dataset="synthetic_faces", **card)
    return model


def arrays(model) -> dict[str, np.ndarray]:
    return {name: np.asarray(w, np.float64) for name, w in weights_by_path(model).items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Work directories of two runs, and their networks."""
    folders, networks = [], [network(1), network(2)]
    for number, model in enumerate(networks):
        folders.append(tmp_path_factory.mktemp(f"run{number}"))
        records.save_best(folders[-1], model=model, card=model.card, metrics={"epoch": 1})
    return folders, networks


@pytest.mark.parametrize(
    ("shares", "expected"),
    [(None, (0.5, 0.5)), ([0.25, 0.75], (0.25, 0.75)), ([1.0, 0.0], (1.0, 0.0))],
)
def test_every_weight_is_the_mean(runs, shares, expected):
    folders, networks = runs
    first, second = map(arrays, networks)
    result = ran_tf.average_weights([networks[0], folders[1]], shares=shares)
    for name, weight in arrays(result).items():
        wanted = expected[0] * first[name] + expected[1] * second[name]
        np.testing.assert_allclose(weight, wanted, rtol=1e-6, atol=1e-7, err_msg=name)
    # The networks that were given are as they were.
    for model, before in zip(networks, (first, second), strict=True):
        for name, weight in arrays(model).items():
            np.testing.assert_array_equal(weight, before[name])


def test_temperatures_are_taken_out():
    """A calibrated network counts as much as one that is not, and the mean is not calibrated."""
    plain, calibrated = network(1), network(2)
    untouched = arrays(calibrated)
    for weight in calibrated.classifier.weights:
        weight.assign(weight / 4.0)
    calibrated.card = dataclasses.replace(calibrated.card, temperature=4.0)
    for sources in ([plain, calibrated], [calibrated, plain]):
        result = ran_tf.average_weights(sources)
        assert result.card.temperature == 1.0
        for name, weight in arrays(result).items():
            wanted = (arrays(plain)[name] + untouched[name]) / 2
            np.testing.assert_allclose(weight, wanted, rtol=1e-6, atol=1e-7, err_msg=name)


def test_the_regions_are_those_of_the_first():
    grid = dataclasses.replace(make_card().regions, kind="grid", k=15)
    few, many = network(1), network(2, regions=grid)
    assert ran_tf.average_weights([many, few]).card.regions.k == 15
    assert ran_tf.average_weights([few, many]).card.regions.k == 6


def test_what_cannot_be_averaged():
    first = network(1)
    with pytest.raises(ValueError, match="`sources` must be two or more"):
        ran_tf.average_weights([first])
    with pytest.raises(ValueError, match="`sources` must be two or more"):
        ran_tf.average_weights("ran_faceres_ferplus")
    for shares in ([1.0], [0.5, 0.6], [1.5, -0.5], [float("nan"), 1.0]):
        with pytest.raises(ValueError, match="`shares` must be"):
            ran_tf.average_weights([first, first], shares=shares)
    labels = tuple(reversed(first.card.labels))
    with pytest.raises(ValueError, match="networks of the classes"):
        ran_tf.average_weights([first, network(2, labels=labels)])
    standard, unit = (
        ran_tf.RegionAttentionNetwork(
            "mobilenet_v1", num_classes=8, size=(64, 64), preprocessing=preprocessing
        )
        for preprocessing in ("standard", "unit")
    )
    with pytest.raises(ValueError, match="networks with preprocessing='standard'"):
        ran_tf.average_weights([standard, unit])
    with pytest.raises(ValueError, match="networks with backbone='tiny'"):
        ran_tf.average_weights([first, standard])
    softmax = ran_tf.RegionAttentionNetwork(**{**make_card().model, "attention": "softmax"})
    with pytest.raises(ValueError, match="networks with attention='sigmoid'"):
        ran_tf.average_weights([first, softmax])
    other = ran_tf.RegionAttentionNetwork(**{**make_card().model, "relation": False})
    with pytest.raises(ValueError, match="the same weights: .* has shape"):
        ran_tf.average_weights([first, other])
    with pytest.raises(FileNotFoundError, match="source='nowhere'"):
        ran_tf.average_weights([first, "nowhere"])
    with pytest.raises(ValueError, match="`shares` must be None without `average`"):
        ran_tf.save_to_preset(first, "never", shares=[0.5, 0.5])


def test_the_command_makes_a_preset_of_the_mean(runs, synthetic_dir, tmp_path, parse):
    folders, networks = runs
    target = tmp_path / "mean"
    arguments = (
        f"--workdir={folders[0]}",
        f"--preset_dir={target}",
        f"--average={folders[1]}",
        "--split=test[:8]",
        f"--data_dir={synthetic_dir}",
    )
    parse(*arguments, "--shares=0.4,0.6", command=make_preset)
    make_preset.main()
    first, second = map(arrays, networks)
    for name, weight in arrays(ran_tf.from_preset(target)).items():
        wanted = 0.4 * first[name] + 0.6 * second[name]
        np.testing.assert_allclose(weight, wanted, rtol=2e-3, atol=1e-6, err_msg=name)
    told = (target / preset_file.README).read_text()
    assert f"40 % of these weights and 60 % of `{folders[1].name}`" in told
    parse(*arguments, "--shares=half", command=make_preset)
    with pytest.raises(ValueError, match="`shares` must be numbers, separated by commas"):
        make_preset.main()
