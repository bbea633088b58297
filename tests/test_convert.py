"""Conversion of foreign weights, and re-inflation of their folded batch normalisations.

The oracle is the source's own graph, evaluated node by node in NumPy: it shares no code with the
converter and knows nothing of our layers.
"""

import base64
import json
import os
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from absl import flags

from ran_tf.launch import convert as convert_command
from ran_tf.models.backbones import build_backbone
from ran_tf.models.convert import convert
from ran_tf.models.convert.tfjs import read_tfjs
from ran_tf.models.reinflate import reinflate_batch_norm

FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDED = (2, 4, 6, 12)
CAFFE_MEANS = np.array([103.939, 116.779, 123.68])
SIZE = (64, 64)


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


# -- a file in the real layout ---------------------------------------------------------------------


def made_up_tensors(rng) -> dict[str, np.ndarray]:
    def normal(*shape, gain=1.0):
        fan_in = np.prod(shape[:-1]) if shape[-1] != 1 else 9
        return (rng.standard_normal(shape) * gain * np.sqrt(2 / fan_in)).astype("float32")

    tensors = {}
    for head, shape in {
        "age_pred": (256, 100),
        "feats": (1024, 256),
        "gender_pred": (256, 1),
    }.items():
        tensors[f"{head}/kernel"] = normal(*shape)
        tensors[f"{head}/bias"] = np.zeros(shape[1], "float32")

    def shift_and_limits(conv, channels):
        shift = rng.normal(0.5, 0.5, channels).astype("float32")
        tensors[f"{conv}_bn/batchnorm_1/sub"] = shift
        tensors[f"{conv}_relu/Cast"] = np.float32(6).reshape(())
        tensors[f"{conv}_relu/Const_1"] = np.float32(0).reshape(())

    tensors["conv1/convolution/merged_input"] = normal(3, 3, 3, 32, gain=0.02)
    shift_and_limits("conv1", 32)
    for i, (before, after) in enumerate(zip((32, *FILTERS), FILTERS, strict=False), start=1):
        tensors[f"conv_dw_{i}/depthwise_kernel"] = normal(3, 3, before, 1)
        scale = rng.uniform(0.5, 1.5, before).astype("float32")
        tensors[f"conv_dw_{i}_bn/batchnorm_1/mul"] = scale
        shift_and_limits(f"conv_dw_{i}", before)
        tensors[f"conv_pw_{i}/convolution/merged_input"] = normal(1, 1, before, after)
        shift_and_limits(f"conv_pw_{i}", after)
    tensors["global_pooling/Mean/reduction_indices"] = np.array([1, 2], "int32")
    return tensors


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


def write_tfjs(path: Path, tensors, *, nodes=()) -> Path:
    """Writes float32 tensors as float16, as the real file has them; others as they are."""
    entries, data = [], b""
    for name, array in tensors.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if array.dtype == "float32":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype("float16")
        entries.append(entry)
        data += array.tobytes()
    manifest = [{"paths": [f"{path.stem}.bin"], "weights": entries}]
    graph = {"modelTopology": {"node": list(nodes)}, "weightsManifest": manifest}
    path.write_text(json.dumps(graph))
    path.with_suffix(".bin").write_bytes(data)
    return path


@pytest.fixture(scope="module")
def tensors():
    return made_up_tensors(np.random.default_rng(0))


@pytest.fixture(scope="module")
def source(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("faceres") / "faceres.json"
    return write_tfjs(path, tensors, nodes=made_up_graph(tensors))


def smooth_images(rng, count) -> np.ndarray:
    """u8[n,h,w,3] with the broad structure of photos; white noise looks alike everywhere."""
    coarse = rng.uniform(0, 255, (count, 6, 6, 3)).astype("float32")
    return np.stack([cv2.resize(image, SIZE) for image in coarse]).astype("uint8")


def assert_same_features(actual, expected):
    scale = np.abs(expected).max()
    assert scale > 0.5  # else nothing is compared
    np.testing.assert_allclose(actual, expected, atol=2e-5 * scale, rtol=1e-4)


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


# -- TF.js files -----------------------------------------------------------------------------------


def small_file(folder: Path, *, data=bytes(range(1, 9)), **entry) -> Path:
    entry = {"name": "x", "shape": [2], "dtype": "float32"} | entry
    (folder / "a.bin").write_bytes(data[:3])
    (folder / "b.bin").write_bytes(data[3:])
    path = folder / "model.json"
    manifest = [{"paths": ["a.bin", "b.bin"], "weights": [entry]}]
    path.write_text(json.dumps({"weightsManifest": manifest}))
    return path


@pytest.mark.parametrize(
    ("entry", "stored", "expected"),
    [
        ({}, np.float32([1.5, -2]), np.float32([1.5, -2])),
        ({"dtype": "int32"}, np.int32([7, -7]), np.int32([7, -7])),
        ({"dtype": "bool"}, np.bool_([True, False]), np.bool_([True, False])),
        ({"quantization": {"dtype": "float16"}}, np.float16([0.1, 9]), np.float32([0.09998, 9])),
        (
            {"quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
            np.uint8([0, 255]),
            np.float32([-1, 126.5]),
        ),
        (
            {"dtype": "int32", "quantization": {"dtype": "uint16", "scale": 1.9, "min": -3}},
            np.uint16([1, 1000]),
            np.int32([-1, 1897]),
        ),
    ],
)
def test_stored_tensors_are_restored(entry, stored, expected, tmp_path):
    array = read_tfjs(small_file(tmp_path, data=stored.tobytes(), **entry))["x"]
    assert array.dtype == expected.dtype
    np.testing.assert_allclose(array, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"shape": [3]}, r"cut short at tensor x.*Received: 8 bytes, at least 12 expected"),
        ({"shape": [1]}, r"4 bytes follow.*Received: 8 bytes, expected 4"),
        ({"dtype": "string"}, r"tensor x must have a dtype of .*Received: dtype='string'"),
    ],
)
def test_binary_files_that_do_not_match_their_list(entry, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_tfjs(small_file(tmp_path, **entry))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Received: source='.*none\.json'"):
        read_tfjs(tmp_path / "none.json")
    path = small_file(tmp_path)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.bin, which must lie beside it"):
        read_tfjs(path)
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="weightsManifest"):
        read_tfjs(path)


# -- re-inflation ----------------------------------------------------------------------------------


def test_statistics_are_those_of_the_images():
    """Against NumPy's moments, from a BN that already had statistics, with an uneven last batch."""
    rng = np.random.default_rng(3)
    layer = keras.layers.BatchNormalization(epsilon=1e-2)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(2.0, 1.0), layer])
    layer.set_weights([rng.uniform(0.5, 2, 3) for _ in range(4)])
    images = rng.uniform(0, 255, (7, 4, 4, 3)).astype("float32")
    before = model(images, training=False)

    reinflate_batch_norm(model, images, batch_size=3)

    inputs = 2.0 * images.astype("float64") + 1.0
    np.testing.assert_allclose(layer.moving_mean, inputs.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, inputs.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(model(images, training=False), before, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(model(images, training=True), before, rtol=1e-3, atol=1e-2)


def relative_error(actual, expected) -> float:
    actual, expected = np.asarray(actual), np.asarray(expected)
    return float(np.sqrt(np.mean((actual - expected) ** 2)) / expected.std())


def test_reinflated_model_stays_the_same_and_can_be_trained(source):
    rng = np.random.default_rng(4)
    images, others = (smooth_images(rng, 160).astype("float32") for _ in range(2))
    model = convert(source=source, format="faceres_tfjs", size=SIZE).model
    before, before_others = model(images, training=False), model(others, training=False)
    state = model.get_weights()
    folded_in_training = relative_error(model(others, training=True), before_others)
    model.set_weights(state)  # a training pass moves the statistics

    reinflate_batch_norm(model, images)

    assert_same_features(model(images, training=False), np.asarray(before))
    assert_same_features(model(others, training=False), np.asarray(before_others))
    state = model.get_weights()
    # On the images that were measured, batch and stored statistics are equal.
    assert relative_error(model(images, training=True), before) < 1e-3
    model.set_weights(state)
    assert relative_error(model(others, training=True), before_others) < 0.2
    assert folded_in_training > 1.0  # what this is for


def test_models_that_cannot_be_reinflated():
    image = np.zeros((1, 4, 4, 3))

    def model(*layers):
        return keras.Sequential([keras.Input((4, 4, 3)), *layers])

    with pytest.raises(ValueError, match="BatchNormalization layers at its top level"):
        reinflate_batch_norm(model(keras.layers.ReLU()), image)
    with pytest.raises(ValueError, match="scale=False"):
        reinflate_batch_norm(model(keras.layers.BatchNormalization(scale=False)), image)
    with pytest.raises(ValueError, match="compute_dtype='bfloat16'"):
        layer = keras.layers.BatchNormalization(dtype="mixed_bfloat16")
        reinflate_batch_norm(model(layer), image)
    with pytest.raises(ValueError, match=r"shape \(0, 4, 4, 3\)"):
        reinflate_batch_norm(model(keras.layers.BatchNormalization()), image[:0])


# -- the command -----------------------------------------------------------------------------------


def run_command(**arguments):
    values = flags.FlagValues()
    convert_command.define_flags(values)
    values(["convert", *(f"--{name}={value}" for name, value in arguments.items())])
    convert_command.run(values)


# Keras 3.15 converts tf.Variables so when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_command_writes_weights_that_load(source, tmp_path, capsys):
    faces = tmp_path / "faces" / "deep"
    faces.mkdir(parents=True)
    rng = np.random.default_rng(5)
    images = smooth_images(rng, 9)
    for i, image in enumerate(images):
        assert cv2.imwrite(str(faces / f"{i}.png"), image[..., ::-1])  # OpenCV writes BGR
    out = tmp_path / "out" / "mobilenet.weights.h5"
    arguments = {"source": source, "format": "faceres_tfjs", "out": out, "size": SIZE[0]}

    run_command(**arguments, faces=faces.parent, num_faces=5)

    model = build_backbone("mobilenet_v1", size=SIZE)
    model.load_weights(out)
    images = images[::2].astype("float32")
    expected = convert(source=source, format="faceres_tfjs", size=SIZE).model(images)
    assert_same_features(model(images, training=False), np.asarray(expected))
    # The five, in RGB, are those that were measured.
    assert relative_error(model(images, training=True), expected) < 1e-2
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert "left out: age_pred/kernel" in capsys.readouterr().out


def test_command_refuses_bad_flags_before_it_writes(source, tmp_path):
    arguments = {"source": source, "format": "faceres_tfjs", "out": tmp_path / "x.weights.h5"}
    with pytest.raises(ValueError, match=r"must end in \.weights\.h5"):
        run_command(**arguments | {"out": tmp_path / "x.h5"})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="--faces must be a folder with images"):
        run_command(**arguments, faces=empty)
    (empty / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"does not decode. Received: .*a\.png"):
        run_command(**arguments, faces=empty)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
