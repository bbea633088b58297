"""Conversion of foreign weights: the model computes what the source's graph does.

The oracle is the source's own graph, evaluated node by node in NumPy: it shares no code with the
converter and knows nothing of our layers.
"""

import base64
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import ran_tf
from ran_tf.launch import convert as convert_command
from ran_tf.models.backbones import build_backbone
from ran_tf.weights.convert import convert
from ran_tf.weights.convert.tfjs import read_tfjs
from tests.fixtures.faceres_files import (
    SIZE,
    assert_same_features,
    made_up_tensors,
    relative_error,
    smooth_images,
    write_tfjs,
)

STRIDED = (2, 4, 6, 12)
CAFFE_MEANS = np.array([103.939, 116.779, 123.68])


# -- the oracle ------------------------------------------------------------------------------------


def run_graph(graph: dict, tensors: dict, image: np.ndarray, *, output: str) -> np.ndarray:
    """Evaluates a TF.js graph in float64, whatever its nodes are called and however connected."""
    nodes = {node["name"]: node for node in graph["modelTopology"]["node"]}
    values = {}

    def value(name):
        if name not in values:
            values[name] = compute(nodes[name])
        return values[name]

    def compute(node):
        if node["op"] == "Placeholder":
            return image.astype("float64")
        if node["op"] == "Const":
            array = tensors[node["name"]]
            return array.astype("float64") if array.dtype == "float32" else array
        inputs = [value(name) for name in node["input"]]
        match node["op"]:
            case "Conv2D":
                return slide(node, *inputs, lambda x, k: x @ k)
            case "DepthwiseConv2dNative":
                return slide(node, *inputs, lambda x, k: x * k[:, 0])
            case "Mul":
                return inputs[0] * inputs[1]
            case "Add":
                return inputs[0] + inputs[1]
            case "Relu":
                return np.maximum(inputs[0], 0)
            case "Minimum":
                return np.minimum(*inputs)
            case "Maximum":
                return np.maximum(*inputs)
            case "Mean":
                return inputs[0].mean(axis=tuple(inputs[1]))
        raise NotImplementedError(node["op"])

    return value(output)


def slide(node, x, kernel, step):
    """A convolution with TF's 'SAME' padding: sums `step` over the kernel's positions."""
    assert base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME"
    _, stride_y, stride_x, _ = (int(i) for i in node["attr"]["strides"]["list"]["i"])
    pads, sides = [], []
    for side, width, stride in zip(x.shape[1:3], kernel.shape, (stride_y, stride_x), strict=False):
        out = -(-side // stride)
        total = max((out - 1) * stride + width - side, 0)
        pads.append((total // 2, total - total // 2))
        sides.append(out)
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    (height, width), result = sides, 0.0
    for i, j in np.ndindex(kernel.shape[:2]):
        window = x[:, i : i + height * stride_y : stride_y, j : j + width * stride_x : stride_x]
        result = result + step(window[:, :height, :width], kernel[i, j])
    return result


# -- a file and its graph --------------------------------------------------------------------------


def made_up_graph(tensors) -> list[dict]:
    nodes = [{"name": name, "op": "Const"} for name in tensors]
    nodes.append({"name": "input_1", "op": "Placeholder"})

    def add(name, op, *inputs, stride=None):
        node = {"name": name, "op": op, "input": list(inputs)}
        if stride:
            node["attr"] = {
                "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
                "padding": {"s": base64.b64encode(b"SAME").decode()},
            }
        nodes.append(node)
        return name

    def shift_and_limits(x, conv):
        x = add(f"{conv}_bn/batchnorm_1/add_1", "Add", x, f"{conv}_bn/batchnorm_1/sub")
        x = add(f"{conv}_relu/Relu", "Relu", x)
        x = add(f"{conv}_relu/clip_by_value/Minimum", "Minimum", x, f"{conv}_relu/Cast")
        return add(f"{conv}_relu/clip_by_value", "Maximum", x, f"{conv}_relu/Const_1")

    def dense(x, conv, stride):
        kernel = f"{conv}/convolution/merged_input"
        x = add(f"{conv}_bn/batchnorm_1/mul_1", "Conv2D", x, kernel, stride=stride)
        return shift_and_limits(x, conv)

    x = dense("input_1", "conv1", 2)
    for i in range(1, 14):
        conv, op = f"conv_dw_{i}", "DepthwiseConv2dNative"
        stride = 2 if i in STRIDED else 1
        x = add(f"{conv}/depthwise", op, x, f"{conv}/depthwise_kernel", stride=stride)
        x = add(f"{conv}_bn/batchnorm_1/mul_1", "Mul", x, f"{conv}_bn/batchnorm_1/mul")
        x = dense(shift_and_limits(x, conv), f"conv_pw_{i}", 1)
    add("global_pooling/Mean", "Mean", x, "global_pooling/Mean/reduction_indices")
    return nodes


@pytest.fixture(scope="module")
def tensors():
    return made_up_tensors(np.random.default_rng(0))


@pytest.fixture(scope="module")
def source(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("faceres") / "faceres.json"
    return write_tfjs(path, tensors, nodes=made_up_graph(tensors))


# -- conversion ------------------------------------------------------------------------------------


def assert_model_computes_graph(source: Path, images: np.ndarray):
    model = convert(source=source, format="faceres_tfjs", size=images.shape[1:3]).model
    graph = json.loads(source.read_text())
    expected = run_graph(
        graph, read_tfjs(source), images - CAFFE_MEANS, output="global_pooling/Mean"
    )
    assert expected.shape == (len(images), 1024)
    assert_same_features(model(images.astype("float32"), training=False), expected)


def test_model_computes_what_the_graph_of_the_file_does(source):
    assert_model_computes_graph(source, smooth_images(np.random.default_rng(1), 4))


def test_real_file():
    path = os.environ.get("RAN_TF_FACERES")
    if not path:
        pytest.skip("RAN_TF_FACERES does not name faceres.json of @vladmandic/human")
    rng = np.random.default_rng(2)
    noise = rng.uniform(0, 255, (2, 96, 96, 3))
    smooth = np.stack([cv2.resize(image, (96, 96)) for image in smooth_images(rng, 2)])
    assert_model_computes_graph(Path(path), np.concatenate([noise, smooth]))


def test_left_out_tensors_are_named(source):
    left_out = convert(source=source, format="faceres_tfjs").left_out
    heads = {"age_pred", "gender_pred", "feats"}
    assert set(left_out) == {f"{head}/{part}" for head in heads for part in ("kernel", "bias")}


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


DAMAGE = {
    "missing": (lambda t: without(t, "conv_dw_3_bn/batchnorm_1/mul"), r"missing=\['conv_dw_3_bn"),
    "unused": (lambda t: t | {"conv_pw_14/kernel": np.ones(2, "float32")}, r"unused=\['conv_pw_14"),
    "constant": (
        lambda t: t | {"conv1_relu/Cast": np.ones((), "float32")},
        r"conv1_relu/Cast=1\.0",
    ),
    "shape": (
        lambda t: t | {"conv1/convolution/merged_input": np.ones((3, 3, 3, 24), "float32")},
        r"conv1/kernel is \(3, 3, 3, 24\), the model's \(3, 3, 3, 32\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_tensors_that_do_not_fit_are_named(damage, tensors, tmp_path):
    change, message = DAMAGE[damage]
    path = write_tfjs(tmp_path / "faceres.json", change(tensors))
    with pytest.raises(ValueError, match=message):
        convert(source=path, format="faceres_tfjs", size=SIZE)


def test_unknown_format():
    with pytest.raises(ValueError, match=r"faceres_tfjs.*Received: format='caffe'"):
        convert(source="x.json", format="caffe")


# -- the command -----------------------------------------------------------------------------------


# Keras 3.15 converts tf.Variables so when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_command_writes_weights_that_load(source, tmp_path, capsys, monkeypatch, parse):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(source.parent, tmp_path / "source")
    faces = tmp_path / "faces" / "deep"
    faces.mkdir(parents=True)
    rng = np.random.default_rng(5)
    images = smooth_images(rng, 9)
    for i, image in enumerate(images):
        assert cv2.imwrite(str(faces / f"{i}.png"), image[..., ::-1])  # OpenCV writes BGR
    out = tmp_path / "out" / "mobilenet.weights.h5"
    arguments = [f"--source=~/source/{source.name}", "--out=~/out/mobilenet.weights.h5"]
    arguments += ["--format=faceres_tfjs", f"--size={SIZE[0]}", "--faces=~/faces", "--num_faces=5"]

    parse(*arguments, command=convert_command)
    convert_command.main()

    model = build_backbone("mobilenet_v1", size=SIZE)
    model.load_weights(out)
    images = images[::2].astype("float32")
    expected = convert(source=source, format="faceres_tfjs", size=SIZE).model(images)
    assert_same_features(model(images, training=False), np.asarray(expected))
    # The five, in RGB, are those that were measured.
    assert relative_error(model(images, training=True), expected) < 1e-2
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert "left out: age_pred/kernel" in capsys.readouterr().out


def test_bad_arguments_are_refused_before_anything_is_written(source, tmp_path):
    def fails(error, message, **arguments):
        arguments = {"format": "faceres_tfjs", "out": tmp_path / "x.weights.h5", **arguments}
        with pytest.raises(error, match=message):
            ran_tf.convert_weights(source, **arguments)

    fails(ValueError, r"`out` must end in \.weights\.h5", out=tmp_path / "x.h5")
    fails(ValueError, "`num_faces` must be at least 1.*Received: num_faces=0", num_faces=0)
    empty = tmp_path / "empty"
    empty.mkdir()
    fails(FileNotFoundError, "`faces` must be a folder with images", faces=empty)
    (empty / "b.png").mkdir()
    (empty / "._c.png").write_bytes(b"what another system left")
    fails(FileNotFoundError, "`faces` must be a folder with images", faces=empty)
    (empty / "a.png").write_bytes(b"no image")
    fails(ValueError, r"`faces` holds .* not decode\. Received: .*a\.png", faces=empty)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
