"""The two PyTorch formats: every tensor is accounted for, and what comes out can be used."""

import numpy as np
import pytest

import ran_tf
from ran_tf.models.backbones import build_backbone
from ran_tf.training import initialise
from ran_tf.weights import weights_file
from ran_tf.weights.convert import convert, ms1m_torch, ran_torch
from ran_tf.weights.convert.torch_file import TorchFile

torch = pytest.importorskip("torch", reason="PyTorch is the extra `torch`")

from tests.fixtures import released_ran  # noqa: E402, needs torch

SIZE = (32, 32)


@pytest.fixture(scope="module")
def theirs():
    crops = torch.rand(4, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return released_ran.randomise(released_ran.ReleasedRan("resnet18", 7), crops, seed=5)


@pytest.fixture(scope="module")
def tensors(theirs):
    return {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}


@pytest.fixture
def convert_tensors(monkeypatch):
    """Converts tensors as if a file had held them."""

    def run(tensors, format, **options):
        for module in (ms1m_torch, ran_torch):
            monkeypatch.setattr(
                module, "read_torch", lambda source: TorchFile(tensors, {"epoch": "no weight"})
            )
        return convert(source="x.pth", format=format, size=SIZE, **options)

    return run


def assert_same_features(actual, expected):
    scale = expected.abs().max().item()
    assert scale > 1
    np.testing.assert_allclose(actual, expected, atol=1e-5 * scale, rtol=0)


def without(tensors, *names):
    return {name: array for name, array in tensors.items() if name not in names}


def test_what_a_network_leaves_out_is_named(tensors, convert_tensors):
    converted = convert_tensors(tensors, "ran_torch")
    counters = {name for name in tensors if name.endswith("num_batches_tracked")}
    assert len(counters) == 20
    assert set(converted.left_out) == {"epoch", *counters}
    assert not converted.fresh
    assert converted.arguments == {
        "backbone": "resnet18",
        "num_classes": 7,
        "attention": "softmax",
        "relation": True,
        "preprocessing": "unit",
    }


def test_the_ablation_leaves_beta_out(tensors, convert_tensors):
    head = {"fc.weight": np.ones((7, 512), "float32")}
    converted = convert_tensors({**tensors, **head}, "ran_torch")
    assert {"beta.0.weight", "beta.0.bias"} <= set(converted.left_out)
    assert not converted.arguments["relation"]
    assert converted.arguments["attention"] == "sigmoid"


def test_a_backbone_computes_the_same_and_leaves_heads_out(theirs, tensors, convert_tensors):
    heads = {"feature.weight": np.ones((9, 512)), "feature.bias": np.ones(9)}
    backbone = {n: a for n, a in tensors.items() if not n.startswith(("alpha", "beta"))}
    converted = convert_tensors({**backbone, **heads}, "ms1m_torch")
    left_out = {n for n in converted.left_out if not n.endswith("num_batches_tracked")}
    assert left_out == {"epoch", "fc.weight", "fc.bias", "feature.weight", "feature.bias"}
    assert converted.arguments == {"backbone": "resnet18", "preprocessing": "unit"}
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype("float32")
    with torch.no_grad():
        expected = theirs.features(torch.from_numpy(images.transpose(0, 3, 1, 2) / 255))
    assert_same_features(converted.model(images), expected)

    # What was trained on pixels in another scale is another model.
    other = convert_tensors(backbone, "ms1m_torch", preprocessing="standard").model
    scaled = (images / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.no_grad():
        expected = theirs.features(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float())
    assert_same_features(other(images), expected)
    assert np.abs(other(images) - converted.model(images)).max() > 1


MISFITS = {
    "missing": (lambda t: without(t, "alpha.0.bias"), r"missing=\['alpha\.0\.bias'\], unused=\[\]"),
    "a whole block's BN": (
        lambda t: without(t, "layer1.1.bn2.running_var"),
        r"missing=\['layer1\.1\.bn2\.running_var'\]",
    ),
    "unused": (lambda t: {**t, "gamma.weight": np.ones(3)}, r"unused=\['gamma\.weight'\]"),
    "shape": (
        lambda t: {**t, "conv1.weight": np.ones((64, 3, 3, 3))},
        r"conv1/kernel is \(3, 3, 3, 64\), the model's \(7, 7, 3, 64\)",
    ),
    "rank": (lambda t: {**t, "conv1.weight": np.ones(64)}, r"conv1/kernel is \(64,\)"),
    "no fc": (lambda t: without(t, "fc.weight"), r"ms1m_torch\)\. Received: fc\.weight of .*None"),
    "other fc": (
        lambda t: {**t, "fc.weight": np.ones((7, 700))},
        r"512 features of a resnet18.*Received: fc\.weight of shape \(7, 700\)",
    ),
    "deeper": (
        lambda t: {**t, "layer3.2.conv1.weight": np.ones(1)},
        r"must hold a resnet18, resnet34, resnet50.*Received: stages of 2x2x3x2 basic blocks",
    ),
    "another network": (lambda t: {"features.0.weight": np.ones(1)}, r"first being \['features"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_tensors_that_do_not_fit_are_named(misfit, tensors, convert_tensors):
    change, message = MISFITS[misfit]
    with pytest.raises(ValueError, match=message):
        convert_tensors(change(tensors), "ran_torch")


def test_a_network_is_no_backbone(tensors, convert_tensors):
    with pytest.raises(ValueError, match=r"unused=\['alpha\.0\.bias'"):
        convert_tensors(tensors, "ms1m_torch")


def test_partial_files_when_allowed(tensors, convert_tensors):
    partial = {**without(tensors, "alpha.0.bias", "layer1.1.bn2.running_var"), "x": np.ones(3)}
    converted = convert_tensors(partial, "ran_torch", allow_partial=True)
    assert converted.fresh == ("layer1_1_bn2/moving_variance", "self_attention/bias")
    assert converted.left_out["x"] == "unknown to this format"
    network = converted.model
    np.testing.assert_array_equal(network.self_attention.query.bias, 0)
    np.testing.assert_array_equal(network.classifier.bias, tensors["fc.bias"])
    wrong = {**partial, "fc.bias": np.ones(9)}
    with pytest.raises(ValueError, match=r"classifier/bias is \(9,\)"):
        convert_tensors(wrong, "ran_torch", allow_partial=True)


def test_options_that_make_no_sense(tensors, convert_tensors):
    with pytest.raises(ValueError, match="`attention` must be left out"):
        convert_tensors(tensors, "ms1m_torch", attention="softmax")
    with pytest.raises(ValueError, match="Received: attention='both'"):
        convert_tensors(tensors, "ran_torch", attention="both")
    with pytest.raises(ValueError, match="Received: preprocessing='caffe'"):
        convert_tensors(tensors, "ran_torch", preprocessing="caffe")


# -- the command, and what takes its files ---------------------------------------------------------


def test_a_converted_network_is_where_training_starts(theirs, tmp_path):
    source, out = tmp_path / "checkpoint_40.pth.tar", tmp_path / "ran.weights.h5"
    released_ran.save_checkpoint(theirs, source, zipped=False)
    made = ran_tf.convert_weights(source, format="ran_torch", out=out, size=SIZE)
    assert {"bn1.num_batches_tracked", "optimizer"} <= set(made.left_out)
    with weights_file.safe_copy(out) as file:
        arguments = file.arguments
    want = {"backbone": "resnet18", "num_classes": 7, "attention": "softmax"}
    assert want.items() <= arguments.items() and arguments["preprocessing"] == "unit"

    network = ran_tf.RegionAttentionNetwork(**arguments, size=SIZE)
    taken = initialise.init_weights(network, str(out), labels=())
    assert not taken.fresh and not taken.notes
    np.testing.assert_array_equal(network.classifier.bias, theirs.fc.bias.detach())

    standard = ran_tf.RegionAttentionNetwork("resnet18", 7, size=SIZE)
    with pytest.raises(ValueError, match=r"\(--preprocessing=unit\)\. Received: .*'standard'"):
        initialise.init_weights(standard, str(out), labels=())

    other = ran_tf.RegionAttentionNetwork(**{**arguments, "attention": "sigmoid"}, size=SIZE)
    (note,) = initialise.init_weights(other, str(out), labels=()).notes
    assert f"{out} was trained with attention='softmax' and goes on with 'sigmoid'" in note


def test_plain_weights_files_say_nothing(tmp_path):
    build_backbone("mobilenet_v1", size=SIZE).save_weights(tmp_path / "x.weights.h5")
    with weights_file.safe_copy(tmp_path / "x.weights.h5") as file:
        assert file.arguments == {}
