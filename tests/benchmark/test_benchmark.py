"""Every suite measures something at a tiny size; no time is asserted."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import ran_tf
from ran_tf.benchmark import crop, flops, machine, pillow_loader, results, serve, step, table
from ran_tf.benchmark import input as input_suite
from ran_tf.config import DataConfig
from ran_tf.launch import benchmark

ROOT = pathlib.Path(__file__).parents[2]
PEAK = {"float32": 1e12, "bfloat16": 2e12}


def test_step_rows():
    plan = step.StepPlan(
        backbone="mobilenet_v1",
        size=32,
        image_size=24,
        regions=(1, 3),
        batches=(2,),
        dtypes=("float32",),
        warmup=1,
        repeats=2,
    )
    rows = step.measure(plan, peak=PEAK)
    assert [(row["regions"], row["batch"], row["dtype"]) for row in rows] == [
        (1, 2, "float32"),
        (3, 2, "float32"),
    ]
    for row in rows:
        assert row["crops_per_s"] == pytest.approx(row["regions"] * row["faces_per_s"])
        # A step does three forward passes' work, and a share is of the peak that was given.
        assert row["tflop_per_s"] == pytest.approx(row["gflop"] / row["ms"])
        assert row["share_of_peak"] == pytest.approx(row["tflop_per_s"])
    assert rows[1]["gflop"] == pytest.approx(3 * rows[0]["gflop"], rel=0.01)


@pytest.mark.parametrize("sync_batch_norm", [True, False])
def test_batch_statistics_of_replicas_are_those_that_the_plan_asks_for(sync_batch_norm):
    plan = step.StepPlan(
        backbone="mobilenet_v1",
        size=32,
        image_size=32,
        replicas=2,
        sync_batch_norm=sync_batch_norm,
        warmup=0,
        repeats=1,
    )
    state, _ = step.time_step(plan, k=1, batch=4, dtype="float32")
    assert state.model.get_config()["synchronized"] is sync_batch_norm


def test_flops_are_those_of_the_papers():
    """MobileNetV1 at 224 px: 569 million multiply-adds; ResNet-18: 1.8 thousand million."""
    for backbone, multiply_adds in (("mobilenet_v1", 568e6), ("resnet18", 1.814e9)):
        model = ran_tf.RegionAttentionNetwork(backbone, size=(224, 224))
        assert flops.backbone_flops(model.backbone) == pytest.approx(2 * multiply_adds, rel=0.01)
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    assert flops.backbone_flops(dense) == 40
    # As a depthwise 3x3 layer of 5 channels and a pointwise one to 7, at 4x4 places.
    inputs = keras.Input((8, 8, 5))
    layer = keras.layers.SeparableConv2D(7, 3, strides=2, padding="same")
    assert flops.backbone_flops(keras.Model(inputs, layer(inputs))) == 2 * 16 * (9 * 5 + 5 * 7)


def mobilenet_flops(side, *, channels=3, blocks=range(14)):
    """Blocks of MobileNetV1 on maps of `side`, from the table in its paper."""
    filters = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    total = 0
    for block in blocks:
        side = -(-side // strides[block])
        kernels = 9 * channels * 32 if block == 0 else 9 * channels + channels * filters[block]
        total += 2 * kernels * side**2
        channels = filters[block]
    return total


@pytest.mark.parametrize(("region_map", "side"), [(None, 11), (6, 6)])
def test_early_layers_of_a_shared_trunk_count_once(region_map, side):
    arguments = {"size": (161, 161), "relation": False}
    full = ran_tf.RegionAttentionNetwork("mobilenet_v1", **arguments)
    heads = 2 * 1024 * (6 + 8)
    assert flops.face_flops(full, k=6) == 6 * mobilenet_flops(161) + heads
    shared = ran_tf.RegionAttentionNetwork(
        "mobilenet_v1",
        trunk="shared",
        region_map=region_map and (region_map, region_map),
        **arguments,
    )
    early = mobilenet_flops(161, blocks=range(12))
    late = mobilenet_flops(side, channels=512, blocks=(12, 13))
    assert flops.face_flops(shared, k=6) == early + 6 * late + heads
    # Counting changes nothing in the network.
    assert [w.path for w in shared.weights] == [w.path for w in full.weights]


def test_crop_rows():
    plan = crop.CropPlan(
        batch=2,
        k=3,
        image_size=24,
        size=32,
        backbone="mobilenet_v1",
        dtype="float32",
        step_batch=2,
        warmup=1,
        repeats=2,
    )
    rows = crop.measure(plan)
    assert [r["implementation"] for r in rows] == ["crop_and_resize", "gather", "gather, XLA"]
    assert rows[0]["over_kernel"] == 1.0
    assert all(row["share_of_step"] > 0 for row in rows)


def test_input_rows(synthetic_dir):
    plan = input_suite.InputPlan(
        data=DataConfig(data_dir=synthetic_dir, train_split="train[:96]", image_size=(32, 32)),
        batch=16,
        passes=1,
        size=32,
        peer_faces=2,
        wait_steps=2,
    )
    rows = input_suite.measure(plan)
    assert [row["loader"] for row in rows[:2]] == ["cached", "uncached"]
    assert all(row["faces_per_core_s"] > 0 for row in rows[:-1])
    assert 0 <= rows[-1]["waiting_share"] < 1
    assert rows[-1]["faces"] == 2 * 16


def test_the_pillow_loader_reads_what_was_written(tmp_path):
    face = np.full((48, 48, 3), (10, 20, 30), np.uint8)
    (paths,) = pillow_loader.write_regions(face[np.newaxis], tmp_path)
    loaded = pillow_loader.load_face(paths)
    assert loaded.shape == (6, 3, 224, 224)
    np.testing.assert_allclose(loaded[:, :, 0, 0] * 255, np.tile([10, 20, 30], (6, 1)), atol=1e-4)


def test_serve_rows_and_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(serve.runtimes.NEEDS, "openvino", ("no_such_package",))
    monkeypatch.setitem(serve.runtimes.NEEDS, "onnxruntime", ("neither_this",))
    plan = serve.ServePlan(
        size=32, image_size=24, k=2, batches=(1, 3), dtypes=("float32",), repeats=2
    )
    rows = serve.measure(plan, peak=PEAK)
    absent = {row["runtime"]: row["absent"] for row in rows if "absent" in row}
    assert absent == {"openvino": ["no_such_package"], "onnxruntime": ["neither_this"]}
    measured = [row for row in rows if "absent" not in row]
    assert [row["batch"] for row in measured] == [1, 3]
    assert all(row["ms_p99"] >= row["ms_p50"] > 0 for row in measured)
    table.print_result(results.collect("serve", lambda peak: rows, arguments={}))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_other_runtimes_say_the_same(runtime, tmp_path):
    if serve.runtimes.missing(runtime):
        pytest.skip(f"{runtime} needs {serve.runtimes.missing(runtime)}")
    # Of some random starts the answers are all alike.
    keras.utils.set_random_seed(0)
    model, card = serve._subject(serve.ServePlan(size=32, image_size=24, k=3))
    function = serve.portable.make_classifier(model, card).regions
    more = {"precision": "f32"} if runtime == "openvino" else {}
    load = getattr(serve.runtimes, f"load_{runtime}")
    answer = load(function, folder=tmp_path, threads=1, **more)
    faces = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    classifier = serve.export.FaceClassifier(model, card)
    want = classifier.images(faces)["probabilities"]
    regions = serve.signatures.cut_regions(faces, card=card, shape=classifier.regions_shape).numpy()
    assert np.ptp(want) > 1e-3, "equal probabilities would hide a mistake"
    np.testing.assert_allclose(answer(regions), want, atol=1e-4)


def test_memory_is_read():
    assert machine.peak_memory() > 0.05
    held = machine.memory_now()
    assert held is None or 0.05 < held < 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--suite=step --num_regions=six", "--num_regions must be whole numbers.*=six"),
        ("--suite=step --batch_size=8,0", "--batch_size must be whole numbers.*=8,0"),
        ("--suite=serve --dtype=float32,bf16", "`--dtype` must be one of.*bf16"),
        ("--suite=serve --warmup=3", "--warmup must be left out with --suite=serve"),
        ("--suite=input --warmup=3", "it belongs to --suite=step"),
        ("--suite=crop --replicas=2", "--replicas must be left out with --suite=crop"),
        ("--suite=crop --workdir=x", "--workdir must be.*it belongs to --suite=serve"),
        ("--suite=step --dataset=ferplus", "--dataset must be.*it belongs to --suite=input"),
        ("--suite=serve --workdir=x --region_size=96", "--region_size must be.*--workdir"),
    ],
)
def test_a_flag_that_would_be_ignored_and_a_value_that_is_none_are_named(parse, arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark.check(parse(*arguments.split(), "--out=x.json", command=benchmark))


@pytest.mark.parametrize("suite", ["step", "input", "crop", "serve"])
def test_each_suite_takes_the_flags_that_its_plan_reads(parse, suite):
    values = parse(f"--suite={suite}", "--out=x.json", "--batch_size=2", command=benchmark)
    benchmark.check(values)
    read = set()

    class Watched:
        def __getattr__(self, name):
            read.add(name)
            return getattr(values, name)

    benchmark._plan(Watched())
    assert read - {"suite"} == set(benchmark._SUITES[suite])


def test_the_command_writes_json_and_refuses_what_makes_no_sense(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ran_tf.launch.benchmark", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    path = tmp_path / "crop.json"
    tiny = ("--batch_size=1", "--region_size=16", "--image_size=16", "--step_batch=0")
    done = run("--suite=crop", f"--out={path}", "--warmup=0", "--repeats=1", *tiny)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert result["suite"] == "crop"
    assert len(result["rows"]) == 3
    assert set(result["peak_tflop_per_s"]) == {"float32", "bfloat16"}
    assert "crop_and_resize" in done.stdout
    refused = run("--suite=crop", f"--out={path}", "--batch_size=1,2")
    assert refused.returncode == 1
    assert "--batch_size takes one value with this suite" in refused.stderr
