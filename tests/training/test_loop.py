"""The training loop: what it writes, kill and resume, initialisation, and its errors."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.config import ObjectiveConfig, OptimizerConfig
from ran_tf.data import pipeline, prepared
from ran_tf.models import losses
from ran_tf.training import checkpoints, initialise, loop, meter, schedule
from ran_tf.training.tensorflow_engine import TensorFlowEngine
from ran_tf.weights import records
from tests.fixtures import tiny_runs


@pytest.fixture(scope="module")
def config(synthetic_dir):
    return tiny_runs.make_config(synthetic_dir)


class Killed(BaseException):
    """Stands for a signal that ends the process."""


def kill_after(steps):
    """A hook that ends the run when it has heard of so many steps."""
    seen = []

    def on_step(report):
        seen.append(report)
        if len(seen) == steps:
            raise Killed

    return loop.Hooks(on_step=on_step)


def run(config, workdir, *, hooks=None, strategy=None, **kwargs):
    strategy = strategy or tf.distribute.MirroredStrategy(["CPU:0"])
    return loop.train(config, workdir, strategy=strategy, hooks=hooks, **kwargs).metrics


def rows_of(workdir):
    with (workdir / "metrics.csv").open() as handle:
        return [
            {name: float(value) for name, value in row.items() if name != "faces_per_second"}
            for row in csv.DictReader(handle)
        ]


def test_a_killed_run_goes_on_where_it_was(config, tmp_path):
    best = run(config, tmp_path / "whole")
    for stop in (2, 3):
        with pytest.raises(Killed):
            run(config, tmp_path / "killed", hooks=kill_after(stop), checkpoint_seconds=0)
    steps = []
    hooks = loop.Hooks(on_step=lambda report: steps.append((report.epoch, report.step)))
    # Without the cache, as after a kill for memory: the same faces in the same order.
    uncached = dataclasses.replace(config, data=dataclasses.replace(config.data, cache=False))
    again = run(uncached, tmp_path / "killed", hooks=hooks)
    # Killed when it heard of step 2 (step 1 was saved), then of three more.
    assert steps[0] == (2, 1) and steps[-1] == (2, 3)
    assert again["epoch"] == best["epoch"]
    whole, killed = rows_of(tmp_path / "whole"), rows_of(tmp_path / "killed")
    assert [row["epoch"] for row in killed] == [1, 2]
    # The schedule runs over all six steps, not over an epoch's three.
    rates = [schedule.learning_rate(s, total_steps=6, config=config.optimizer) for s in (2, 5)]
    np.testing.assert_allclose([row["learning_rate"] for row in whole], rates)
    for a, b in zip(whole, killed, strict=True):
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=1e-3)
    a, b = (records.load_workdir(tmp_path / name).model for name in ("whole", "killed"))
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-3, err_msg=x.path)
    # A finished run has nothing left to do.
    run(config, tmp_path / "killed", hooks=kill_after(1))


@pytest.mark.parametrize(
    ("keep", "measured", "epoch"),
    [
        ("best", [(0.9, 1.0), (0.1, 0.1)], 1),  # accuracy decides
        ("last", [(0.9, 1.0), (0.1, 1.0)], 2),
        ("best", [(0.5, 1.0), (0.5, 0.9)], 2),  # the surer of equals
        ("best", [(0.5, 1.0), (0.5, 1.1)], 1),
        ("best", [(0.5, 1.0), (0.5, 1.0)], 1),  # the first of epochs that are equal in both
    ],
)
def test_the_epoch_that_is_kept(config, tmp_path, monkeypatch, keep, measured, epoch):
    rows = iter(measured)

    def validate(*_, **__):
        names = ("validation_accuracy", "validation_cross_entropy")
        return dict(zip(names, next(rows), strict=True))

    # No step is taken: none need be built.
    sums = {"faces": 7.0, "cross_entropy": 7.0, "region_loss": 0.0, "correct": 1.0}
    monkeypatch.setattr(TensorFlowEngine, "batches", lambda self, make: make())
    monkeypatch.setattr(TensorFlowEngine, "step", lambda *_, **__: sums)
    monkeypatch.setattr(TensorFlowEngine, "validate", validate)
    kept = run(dataclasses.replace(config, keep=keep), tmp_path)
    assert kept["epoch"] == epoch
    # Weights and numbers are of one epoch: the checkpoint's copies are those of the folder.
    newest = sorted((tmp_path / "checkpoints").glob("step-*"))[-1]
    for name in ("best.weights.h5", "best.json"):
        assert (newest / name).read_bytes() == (tmp_path / name).read_bytes()
    assert records.load_workdir(tmp_path).card.dataset == "synthetic_faces"


def test_two_replicas_see_the_same_data_and_leave_a_usable_run(config, tmp_path, two_replicas):
    config = dataclasses.replace(config, epochs=1)
    run(config, tmp_path / "two", strategy=two_replicas)
    run(config, tmp_path / "one")
    one, two = rows_of(tmp_path / "one")[0], rows_of(tmp_path / "two")[0]
    assert two["step"] == one["step"] == 3
    np.testing.assert_allclose(two["cross_entropy"], one["cross_entropy"], rtol=0.05)
    trained = records.load_workdir(tmp_path / "two")
    assert trained.card.labels == ran_tf.LABELS["synthetic_faces"]
    card = json.loads((tmp_path / "two" / "card.json").read_text())
    assert card["regions"]["kind"] == "random"


@pytest.mark.parametrize("together", [True, False])
def test_replicas_share_their_batch_statistics_if_asked(config, two_replicas, together):
    arguments = {**dataclasses.asdict(config.model), "num_classes": 8}
    config = dataclasses.replace(config, sync_batch_norm=together)
    engine = TensorFlowEngine(config, arguments, strategy=two_replicas)
    assert engine.state.model.get_config()["synchronized"] == together


def test_the_first_loss_that_is_not_finite_stops_the_run(config, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        run(config, tmp_path, hooks=kill_after(2), checkpoint_seconds=0)
    before = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    with monkeypatch.context() as patch:
        # The loss of that step is still finite, what it does to the weights is not.
        patch.setattr(schedule, "learning_rate", lambda step, **_: float("inf"))
        with pytest.raises(meter.NonFiniteLossError, match="is not finite after step 1"):
            run(config, tmp_path, checkpoint_seconds=0)
        with pytest.raises(meter.NonFiniteLossError, match=r"not finite at step 2 \(epoch 1\)"):
            run(config, tmp_path)
    assert before == sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    run(config, tmp_path)


def test_initialise_lists_what_it_takes_and_what_it_leaves(tmp_path):
    def network(**changes):
        return ran_tf.RegionAttentionNetwork("tiny", size=(32, 32), **changes)

    source = network(num_classes=3)
    backbone_file, network_file = tmp_path / "b.weights.h5", tmp_path / "n.weights.h5"
    source.backbone.save_weights(backbone_file)
    source.save_weights(network_file)

    target = network()
    taken = initialise.init_weights(target, str(backbone_file), labels=())
    assert len(taken.loaded) == len(source.backbone.weights)
    assert "classifier/kernel" in taken.fresh and "conv1/kernel" in taken.loaded
    np.testing.assert_array_equal(target.backbone.weights[0], source.backbone.weights[0])

    target = network(num_classes=3)
    assert not initialise.init_weights(target, str(network_file), labels=()).fresh
    np.testing.assert_array_equal(target.weights[-2], source.weights[-2])

    with pytest.raises(ValueError, match="whole network like this one"):
        initialise.init_weights(network(num_classes=4), str(network_file), labels=())
    with pytest.raises(FileNotFoundError, match="Received: source='nowhere'"):
        initialise.init_weights(target, "nowhere", labels=())
    with pytest.raises(FileNotFoundError, match="finished epoch"):
        initialise.init_weights(target, str(tmp_path), labels=())
    (tmp_path / "x.pth").touch()
    with pytest.raises(ValueError, match=r"ran_tf\.launch\.convert"):
        initialise.init_weights(target, str(tmp_path / "x.pth"), labels=())


def test_a_run_starts_from_another_runs_directory(config, tmp_path):
    short = dataclasses.replace(config, epochs=1)
    run(short, tmp_path / "first")
    messages = []
    frozen = dataclasses.replace(
        short,
        model=dataclasses.replace(config.model, relation=False, attention="softmax"),
        optimizer=OptimizerConfig(learning_rate=1e-12, weight_decay=0.0, ema=0.9),
    )
    hooks = loop.Hooks(on_message=messages.append)
    run(frozen, tmp_path / "second", init_weights=str(tmp_path / "first"), hooks=hooks)
    # Without relation the classifier reads half as many features.
    assert "chosen on only 12 faces" in messages[0]
    assert "re-initialised: classifier/kernel" in messages[1]
    assert "first was trained with attention='sigmoid' and goes on with 'softmax'" in messages[2]
    first, second = (records.load_workdir(tmp_path / name).model for name in ("first", "second"))
    np.testing.assert_allclose(
        first.backbone.get_layer("conv0").kernel,
        second.backbone.get_layer("conv0").kernel,
        atol=1e-6,
    )


def test_the_loss_that_is_shown_is_the_one_that_is_minimised():
    epoch_meter = meter.Meter(
        checkpoints.Progress(sums=np.zeros(4)),
        epoch=0,
        epochs=1,
        steps=1,
        config=ObjectiveConfig(region_loss_weight=0.5),
    )
    sums = {"faces": 4.0, "cross_entropy": 8.0, "region_loss": 2.0, "correct": 1.0}
    told = epoch_meter.add(0, sums)
    assert told.means == {
        "loss": 2.25,
        "cross_entropy": 2.0,
        "region_loss": 0.5,
        "accuracy": 0.25,
    }


def test_a_run_from_python(config, tmp_path, capsys):
    made = ran_tf.train(dataclasses.replace(config, epochs=1), workdir=tmp_path / "run")
    assert made.weights.is_file() and made.weights.parent == made.workdir == tmp_path / "run"
    assert made.metrics == records.read_best(made.workdir)
    assert "epoch 1 done: loss" in capsys.readouterr().out
    assert ran_tf.Predictor(made.workdir).labels == ran_tf.LABELS["synthetic_faces"]
    (start,) = records.read_starts(made.workdir)
    training = pipeline.TrainingData(
        config.data, prepared.open_dataset(config.data), batch_size=7, seed=0
    )
    assert start["data"] == {
        "labels": list(ran_tf.LABELS["synthetic_faces"]),
        "train_faces": 20,
        "train_data": training.fingerprint,
    }
    assert start["flags"]["image_size"] == 16 and start["flags"]["dataset"] == "synthetic_faces"


def test_a_run_from_python_is_heard_and_stopped(config, tmp_path, capsys):
    steps = []
    hooks = ran_tf.Hooks(on_step=steps.append, stop=lambda: len(steps) > 0)
    with pytest.raises(loop.Stopped):
        ran_tf.train(config, workdir=tmp_path, hooks=hooks)
    assert [(report.epoch, report.step) for report in steps] == [(1, 1), (1, 2)]
    assert capsys.readouterr().out == ""


def test_what_is_kept_is_what_was_measured(config, tmp_path):
    """Both are of the moving average: the kept weights give validation's numbers again."""
    kept = run(dataclasses.replace(config, epochs=1), tmp_path)
    model = records.load_workdir(tmp_path).model
    (batch,) = pipeline.eval_batches(
        config.data, prepared.open_dataset(config.data), split="validation[:12]", batch_size=12
    )
    logits = model({name: batch[name] for name in ("image", "boxes", "mask")})["logits"]
    entropy = np.mean(losses.cross_entropy(logits, batch["labels"]))
    assert kept["validation_cross_entropy"] == pytest.approx(entropy, rel=1e-5)
    hits = np.argmax(logits, axis=-1) == batch["label"].numpy()
    assert kept["validation_accuracy"] == pytest.approx(hits.mean())
