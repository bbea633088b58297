"""Training on JAX: the same losses as TensorFlow's, the same work directory, kill and resume."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.augment import draws
from ran_tf.config import AugmentConfig, ModelConfig, ObjectiveConfig, OptimizerConfig, TrainConfig
from ran_tf.training.tensorflow_engine import TensorFlowEngine
from ran_tf.weights import records
from tests.fixtures import tiny_backbone as tiny_backbone  # registers "tiny"
from tests.fixtures.commands import run_python

STEPS = 6
CONFIG = TrainConfig(
    objective=ObjectiveConfig(
        augment=AugmentConfig(erase=0.5, degrade=0.5, cover=0.5, cover_drawings=16, spoil=0.5),
        margin=0.3,
        visibility_weight=0.3,
        mixup=0.2,
        regions_per_step=3,
        label_smoothing=0.1,
    ),
    model=ModelConfig(backbone="tiny", size=(32, 32)),
    optimizer=OptimizerConfig(learning_rate=0.02, weight_decay=0.01, clip_norm=2.0, ema=0.9),
)
ARGUMENTS = {"backbone": "tiny", "size": (32, 32), "num_classes": 4}

# Some steps from given weights; then a run that is stopped after an epoch and goes on.
SCRIPT = """
import dataclasses, json, sys
import numpy as np
from ran_tf.training.jax_engine import JaxEngine
from ran_tf.training import loop
from ran_tf.config import *
from tests.training.test_jax_engine import ARGUMENTS, CONFIG, STEPS
engine = JaxEngine(CONFIG, ARGUMENTS)
given = np.load("start.npz")
for model in (engine.state.model, engine.state.ema):
    model.set_weights([given[f"w{i}"] for i in range(len(model.weights))])
engine.restored()
batch = {name: given[name] for name in ("image", "boxes", "mask", "labels", "key")}
sums = [
    {n: float(v) for n, v in engine.step(batch, number=i, rate=0.02).items()} for i in range(STEPS)
]
engine.sync()
json.dump(sums, open("sums.json", "w"))
np.savez("end.npz", *engine.state.model.get_weights())
np.savez("ema.npz", *engine.state.ema.get_weights())

run = dataclasses.replace(
    CONFIG,
    # Occluders and losses as above make a step slow to compile.
    objective=ObjectiveConfig(augment=AugmentConfig(erase=0.0)),
    data=DataConfig(
        data_dir=sys.argv[1], image_size=(24, 24), train_split="train[:37]",
        validation_split="validation[:16]", regions=RegionConfig(kind="random", k=3),
    ),
    epochs=2,
    batch_size=16,
)
steps = []
hooks = loop.Hooks(on_step=lambda r: steps.append(r.step), stop=lambda: len(steps) == 3)
try:
    loop.train(run, "run", hooks=hooks)
    raise SystemExit("not stopped")
except loop.Stopped:
    pass
loop.train(run, "run")
loop.train(run, "whole")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, synthetic_dir):
    """What TensorFlow and JAX did from the same start."""
    folder = tmp_path_factory.mktemp("jax")
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8),
        "boxes": np.tile(ran_tf.fixed_boxes(6), (8, 1, 1)),
        "mask": np.ones((8, 6), bool),
        "labels": rng.dirichlet(np.ones(4), size=8).astype(np.float32),
        "key": draws.face_keys(0, np.arange(8)),
    }
    keras.utils.set_random_seed(0)
    engine = TensorFlowEngine(CONFIG, ARGUMENTS, strategy=tf.distribute.get_strategy())
    weights = engine.state.model.get_weights()
    np.savez(folder / "start.npz", **batch, **{f"w{i}": w for i, w in enumerate(weights)})
    sums = [
        {n: float(v) for n, v in engine.step(batch, number=i, rate=0.02).items()}
        for i in range(STEPS)
    ]
    environment = {
        "KERAS_BACKEND": "jax",
        # The three runs have one step: it is compiled once.
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    run_python("-c", SCRIPT, synthetic_dir, cwd=folder, **environment)
    return {"folder": folder, "sums": sums, "state": engine.state, "start": weights}


def test_the_losses_are_those_of_tensorflow_step_by_step(trained):
    on_jax = json.loads((trained["folder"] / "sums.json").read_text())
    for number, (got, want) in enumerate(zip(on_jax, trained["sums"], strict=True)):
        assert got.keys() == want.keys()
        for name in ("cross_entropy", "region_loss", "visibility"):
            # Batch norm over few faces amplifies rounding from step to step.
            assert got[name] == pytest.approx(want[name], rel=1e-4 * 2**number, abs=1e-3), number
    assert trained["sums"][-1]["cross_entropy"] < 0.99 * trained["sums"][0]["cross_entropy"]


def test_weights_and_their_average_move_alike(trained):
    for name, model in (("end", trained["state"].model), ("ema", trained["state"].ema)):
        arrays = np.load(trained["folder"] / f"{name}.npz")
        for i, (variable, old) in enumerate(zip(model.weights, trained["start"], strict=True)):
            moved = np.linalg.norm(variable.numpy() - old)
            difference = np.linalg.norm(arrays[f"arr_{i}"] - variable.numpy())
            assert difference <= 0.03 * moved + 1e-4, (name, variable.path)


def test_a_stopped_run_ends_as_one_that_was_not(trained):
    stopped, whole = (records.read_best(trained["folder"] / name) for name in ("run", "whole"))
    for name in ("loss", "validation_cross_entropy"):
        assert stopped[name] == pytest.approx(whole[name], rel=1e-4)


@pytest.mark.large
def test_the_command_as_a_user_runs_it(tmp_path, synthetic_dir):
    """Trained on JAX, then evaluated and exported, which Keras does on TensorFlow alone."""
    command = [
        "-m",
        "ran_tf.launch.train",
        "--flagfile=launch/quickstart.flags",
        "--workdir=run",
        "--backend=jax",
    ]
    command += ["--backbone=mobilenet_v1", "--region_size=32", "--epochs=1"]
    command += [f"--data_dir={synthetic_dir}"]
    command += ["--train_split=train[:64]", "--validation_split=validation[:32]"]
    done = run_python(*command, cwd=tmp_path)
    assert "best epoch 1: validation accuracy" in done.stdout
    (start,) = records.read_starts(tmp_path / "run")
    assert start["backend"] == "jax"
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert report["subsets"]["all"]["count"] == 112
    face = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    (trained,), (served,) = (ran_tf.Predictor(tmp_path / p)([face]) for p in ("run", "run/export"))
    np.testing.assert_allclose(served.probabilities, trained.probabilities, atol=1e-5)


def test_what_jax_left_is_used_on_tensorflow(trained):
    found = records.load_workdir(trained["folder"] / "run")
    assert found.card.labels == ran_tf.LABELS["synthetic_faces"]
    assert found.model.backbone.name == "tiny"
