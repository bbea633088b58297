"""Training on Keras' JAX backend (benchmarks/jax_*.py), in processes without TensorFlow."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.config import OptimizerConfig, TrainConfig
from ran_tf.training import records
from tests import ferplus_files, test_step
from tests import tiny_backbone as tiny_backbone  # registers "tiny"

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"

STEPS = """
import sys
sys.modules["tensorflow"] = None  # as on a machine without it
import jax, numpy as np
import jax_step
from ran_tf.config import AugmentConfig, OptimizerConfig
from tests import tiny_backbone
data = dict(np.load("start.npz"))
model = jax_step.RegionAttentionNetwork("tiny", 8, size=(32, 32))
model.set_weights([data[f"w{i}"] for i in range(len(model.get_weights()))])
config = jax_step.StepConfig(
    regions=6, margin=0.3, augment=AugmentConfig(**STILL), optimizer=OptimizerConfig(**OPTIMIZER)
)
step = jax.jit(jax_step.make_step(model, config))
state, sums = jax_step.initial_state(model), []
for number in range(3):
    state, means = step(
        state, data["image"], data["labels"], jax.random.key(number), RATE, np.int32(number)
    )
    sums.append([float(means[name]) for name in ("cross_entropy", "region_loss")])
def weights():
    return {v.path: np.asarray(v) for v in model.weights if v.dtype.startswith("float")}
jax_step.assign_average(model, state)
np.savez("average.npz", sums=sums, **weights())
jax_step.assign_average(
    model, {"ema": state["trained"], "ema_others": state["others"]}
)
np.savez("trained.npz", **weights())
"""


def run_python(arguments, *, cwd) -> str:
    root = str(BENCHMARKS.parent)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join([root, str(BENCHMARKS)]),
        },
        check=True,
        timeout=600,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def test_a_step_on_jax_is_the_step_of_the_package(tmp_path):
    """Decay, momentum, region loss and moving average, against `ran_tf.training.step`."""
    still = dataclasses.asdict(test_step.STILL)
    optimizer = {"weight_decay": 0.1, "momentum": 0.9, "ema": 0.5}
    rate = 0.01
    config = TrainConfig(
        model={"backbone": "tiny", "num_classes": 8, "size": (32, 32)},
        augment=test_step.STILL,
        optimizer=OptimizerConfig(learning_rate=rate, **optimizer),
        margin=0.3,
    )
    batch = test_step.make_batch(faces=8, k=6)
    batch["mask"][:] = True
    batch["image"][:] = batch["image"][..., :1]
    batch["labels"] = np.random.default_rng(1).dirichlet(np.ones(8), size=8).astype(np.float32)
    start = ran_tf.RegionAttentionNetwork(**config.model).get_weights()
    state, sums = test_step.run_steps(config, tf.distribute.get_strategy(), [batch] * 3, start)

    np.savez(
        tmp_path / "start.npz",
        image=batch["image"][..., :1],
        labels=batch["labels"],
        **{f"w{i}": value for i, value in enumerate(start)},
    )
    settings = f"STILL, OPTIMIZER, RATE = {still}, {optimizer}, {rate}\n"
    run_python(["-c", settings + STEPS], cwd=tmp_path)

    for name, model in (("trained", state.model), ("average", state.ema)):
        found = np.load(tmp_path / f"{name}.npz")
        for variable, old in zip(model.weights, start, strict=True):
            if variable.dtype.startswith("float"):
                moved = np.linalg.norm(variable.numpy() - old)
                difference = np.linalg.norm(found[variable.path] - variable.numpy())
                assert difference <= 0.01 * moved + 1e-6, (name, variable.path, moved)
    want = [[s["cross_entropy"] / 8, s["region_loss"] / 8] for s in sums]
    np.testing.assert_allclose(np.load(tmp_path / "average.npz")["sums"], want, rtol=1e-3)


def test_repacked_faces_are_those_of_training_and_validation(tmp_path):
    ferplus_files.write_folders(tmp_path / "ferplus")
    for parts in (1, 2):
        out = tmp_path / f"faces{parts}"
        run_python(
            [
                *(BENCHMARKS / "repack_faces.py", f"--manual_dir={tmp_path / 'ferplus'}"),
                *(f"--out={out}", f"--parts={parts}"),
            ],
            cwd=tmp_path,
        )
        sys.path.insert(0, str(BENCHMARKS))
        try:
            import jax_faces
        finally:
            sys.path.pop(0)
        faces = jax_faces.read_faces(out)
        found = {
            name: (split, label)
            for split, arrays in faces.items()
            for name, label in zip(arrays["id"], arrays["label"], strict=True)
        }
        # The third has as many votes for emotions as for none; nothing of PrivateTest is there.
        assert found == {
            "fer0000000": ("train", -1),
            "fer0000001": ("train", 0),
            "fer0000002": ("train", -1),
            "fer0000003": ("train", 1),
            "fer0028638": ("validation", 6),
        }
        for arrays in faces.values():
            np.testing.assert_allclose(arrays["votes"].sum(axis=1), 1, rtol=1e-6)
            for name, image in zip(arrays["id"], arrays["image"], strict=True):
                np.testing.assert_array_equal(image[..., 0], ferplus_files.pixels(name))
        votes = dict(zip(faces["train"]["id"], faces["train"]["votes"], strict=True))
        np.testing.assert_allclose(votes["fer0000001"], [1, 0, 0, 0, 0, 0, 0, 0])
        np.testing.assert_allclose(votes["fer0000000"][[0, 3, 4, 5]], [0.4, 0.1, 0.3, 0.2])


PLANS = """
import json, pathlib, sys, types
sys.modules["tensorflow"] = None
import jax_train, numpy as np

def write(*runs, **optimizer):
    common = {"init": "x.weights.h5", "step": {"optimizer": optimizer}}
    pathlib.Path("plan.json").write_text(json.dumps({"common": common, "runs": runs}))
    sys.argv = ["jax_train.py", "--faces=none", "--plan=plan.json", "--out=out"]

write({"name": "a"}, schedule="step", milestones=[0.3, 0.5])
(run,) = jax_train.read_plan(pathlib.Path("plan.json"))
hash(run.step)
print(run.step.optimizer.milestones)
for wrong in ({"name": "adamw"}, {"clip_norm": 1.0}):
    write({"name": "a"}, **wrong)
    try:
        jax_train.main()
    except SystemExit as error:
        print("exit", error.code)

faces = jax_train.teaching_faces({
    "train": {"label": np.array([0, -1, 3])}, "validation": {"label": np.array([2, -1])}
})
for choice in ({}, {"unsure": True}, {"public_test": True}, {"unsure": True, "public_test": True}):
    print(jax_train.chosen_faces(jax_train.Run("a", "x", **choice), faces).tolist())

def train(run, **_):
    print("trained", run.name)
    return None if run.name == "late" else {"measured": {}}

class Model:
    def save_weights(self, path):
        pass

jax_train.train, jax_train.validation_sets = train, lambda faces: {}
jax_train.jax_faces = types.SimpleNamespace(read_faces=lambda path: {"validation": None})
jax_train.compiled = lambda *_: {"model": Model()}
write(
    {"name": "late"}, {"name": "taught", "teachers": ["late"]}, {"name": "on", "init": "taught"},
    {"name": "other"},
)
jax_train.main()
print(sorted(json.loads(pathlib.Path("out/runs.json").read_text())))
"""


def test_plans_are_read_and_runs_that_were_given_up_stop_only_those_that_need_them(tmp_path):
    assert run_python(["-c", PLANS], cwd=tmp_path).splitlines() == [
        "(0.3, 0.5)",
        "exit 2",
        "exit 2",
        "[0, 2]",
        "[0, 1, 2]",
        "[0, 2, 3]",
        "[0, 1, 2, 3, 4]",
        "trained late",
        "taught: left out, as it needs late",
        "on: left out, as it needs taught",
        "trained other",
        "['other']",
    ]


@pytest.mark.large
def test_a_plan_ends_in_work_directories(tmp_path):
    """Whole face, regions, mixup and teachers; minutes, since XLA compiles MobileNet for a CPU."""
    ferplus_files.write_folders(tmp_path / "ferplus")
    faces, runs = tmp_path / "faces", tmp_path / "runs"
    run_python(
        [BENCHMARKS / "repack_faces.py", f"--manual_dir={tmp_path / 'ferplus'}", f"--out={faces}"],
        cwd=tmp_path,
    )
    common = {
        "init": "face_faceres_ferplus",
        "size": 33,
        "epochs": 2,
        "batch_size": 2,
        "unsure": True,
        "step": {"mixup": 0.2},
    }
    taught = {"name": "ran", "init": "face", "teachers": ["face"]}
    plan = {
        "common": common,
        "runs": [
            {"name": "face", "step": {"regions": 1}},
            {**taught, "public_test": True, "step": {"regions": 6, "regions_per_step": 2}},
        ],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    without = "import sys, runpy\nsys.modules['tensorflow'] = None\nsys.argv.pop(0)\n"
    run_python(
        [
            *("-c", without + "runpy.run_path(sys.argv[0], run_name='__main__')"),
            *(BENCHMARKS / "jax_train.py", f"--faces={faces}", f"--out={runs}"),
            f"--plan={tmp_path / 'plan.json'}",
        ],
        cwd=tmp_path,
    )
    for name, regions in (("face", 1), ("ran", 6)):
        workdir = tmp_path / name
        run_python(
            [
                *(BENCHMARKS / "jax_workdir.py", f"--runs={runs}"),
                *(f"--name={name}", f"--workdir={workdir}"),
            ],
            cwd=tmp_path,
        )
        trained = records.load_workdir(workdir, dtype="float32")
        assert (trained.card.regions.k, trained.model.size) == (regions, (33, 33))
        assert records.read_best(workdir)["epoch"] == 2


@pytest.mark.large
def test_speed_is_a_share_of_the_peak(tmp_path):
    found = run_python(
        [
            *(BENCHMARKS / "jax_speed.py", "--size=33", "--batch=4", "--regions_per_step=2"),
            *("--product=512", "--repeats=2"),
        ],
        cwd=tmp_path,
    )
    row = json.loads(found.splitlines()[-1])
    # GFLOP in milliseconds are TFLOP/s.
    assert row["step_gflop"] / row["step_ms"] == pytest.approx(
        row["share_of_peak"] * row["peak_tflops"], rel=0.05
    )
    assert row["faces_per_second"] == pytest.approx(4e3 / row["step_ms"], rel=0.01)
    assert 0 < row["crops_share"] < 1
