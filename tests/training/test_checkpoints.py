"""Checkpoints: whole or absent, checked when read, and refused where they do not fit."""

import contextlib
import csv
import errno
import json
import os
import shutil
import types

import keras
import numpy as np
import pytest

from ran_tf import config, settings
from ran_tf.launch import flags as launch_flags
from ran_tf.training import checkpoints, manifest
from ran_tf.training import run as train_run
from ran_tf.training.state import TrainState
from ran_tf.weights import records
from ran_tf.weights.card import ModelCard
from tests.fixtures import file_limit

CARD = ModelCard(
    dataset="synthetic_faces",
    labels=("a", "b"),
    image_size=(8, 8),
    regions=config.RegionConfig(),
    model={},
)
IDENTITY = {"batch_size": 8, "data": {"name": "x"}, "labels": ("a", "b"), "init_weights": None}


def make_store(workdir, *, identity=IDENTITY, writes=True, check=lambda: None):
    """A store of a network with dropout, cheap to make."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    ema = keras.models.clone_model(model)
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build(model.trainable_variables)
    engine = types.SimpleNamespace(
        state=TrainState(model=model, ema=ema, optimizer=optimizer),
        writes=writes,
        sync=lambda: None,
        restored=lambda: None,
    )
    store = checkpoints.Store(
        workdir,
        engine,
        checkpoints.Progress(sums=np.zeros(4)),
        identity=settings.fingerprint(identity),
        check=check,
    )
    return store, model


def finish_epoch(store, model, epoch, *, best=True):
    """Saves what the loop saves after an epoch of ten steps."""
    model.set_weights([np.full(w.shape, epoch, np.float32) for w in model.get_weights()])
    store.progress.step = 10 * epoch
    store.progress.epoch = epoch
    row = {"epoch": epoch, "validation_accuracy": 0.1 * epoch}
    write_best = None
    if best:

        def write_best(folder):
            records.save_best(folder, model=model, card=CARD, metrics=row)

    checkpoints.save(store, row=row, best=write_best)


def save_epochs(workdir, count, **kwargs):
    store, model = make_store(workdir, **kwargs)
    for epoch in range(1, count + 1):
        finish_epoch(store, model, epoch)
    return store, model


def resume(workdir, **kwargs):
    """A restored store, its model, and what was said."""
    store, model = make_store(workdir, **kwargs)
    said = []
    assert checkpoints.restore(store, say=said.append)
    return store, model, said


def epochs_of(workdir):
    with (workdir / records.METRICS).open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_all_of_the_state_comes_back_dropout_too(tmp_path):
    store, model = make_store(tmp_path)
    model(np.ones((1, 4), np.float32), training=True)  # moves dropout's generator on
    store.progress.sums = np.array([1.0, 2.0, 3.0, 1 / 3])
    ema = store.engine.state.ema
    ema.set_weights([np.full(w.shape, 7.0, np.float32) for w in ema.get_weights()])
    checkpoints.save(store)
    after = model(np.ones((64, 4), np.float32), training=True).numpy()
    other, again, _ = resume(tmp_path)
    np.testing.assert_array_equal(again(np.ones((64, 4), np.float32), training=True), after)
    np.testing.assert_array_equal(other.progress.sums, store.progress.sums)
    for weight in other.engine.state.ema.get_weights():
        np.testing.assert_array_equal(weight, 7.0)


def test_the_newest_by_step_is_read_whatever_the_clock_said(tmp_path):
    save_epochs(tmp_path, 3)
    _, newer = sorted((tmp_path / "checkpoints").iterdir())
    assert newer.name == "step-000000030-epoch-00003"
    os.utime(newer, (0, 0))
    store, model, said = resume(tmp_path)
    assert store.progress.step == 30 and store.progress.epoch == 3 and not said
    assert model.get_weights()[1][0] == 3


def test_what_is_outside_is_made_again_from_the_checkpoint(tmp_path):
    save_epochs(tmp_path, 2)
    good = snapshot(tmp_path)
    with (tmp_path / records.METRICS).open("a") as file:
        file.write("3,0.9\r\n")
    (tmp_path / records.BEST).write_text('{"epoch": 3}')
    (tmp_path / records.BEST_WEIGHTS).write_bytes(b"")
    (tmp_path / records.CARD).unlink()
    (tmp_path / ".partial-x.csv").touch()
    (tmp_path / "checkpoints" / ".partial-y").mkdir()
    resume(tmp_path)
    assert snapshot(tmp_path) == good


def test_an_epoch_that_is_not_better_keeps_the_best(tmp_path):
    store, model = save_epochs(tmp_path, 1)
    finish_epoch(store, model, 2, best=False)
    assert records.read_best(tmp_path)["epoch"] == 1 and epochs_of(tmp_path) == [1, 2]
    finish_epoch(store, model, 3, best=False)
    (tmp_path / records.BEST).unlink()
    resume(tmp_path)
    assert records.read_best(tmp_path)["epoch"] == 1


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if how == "missing":
        path.unlink()


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path):
    save_epochs(tmp_path / "good", 2)
    newest = max((tmp_path / "good" / "checkpoints").iterdir()).name
    names = sorted(os.listdir(tmp_path / "good" / "checkpoints" / newest))
    assert {manifest.NAME, "state.npz", records.METRICS, records.BEST_WEIGHTS} <= set(names)
    for name in names:
        for how in ("truncated", "flipped", "missing"):
            workdir = tmp_path / f"{name}-{how}"
            shutil.copytree(tmp_path / "good", workdir)
            damage(workdir / "checkpoints" / newest / name, how)
            store, model, said = resume(workdir)
            assert store.progress.step == 10 and model.get_weights()[1][0] == 1, workdir
            assert newest in said[0] and "going back to step-000000010" in said[0]
            assert "is broken" in said[0] and len(said) == 1
            assert epochs_of(workdir) == [1] and records.read_best(workdir)["epoch"] == 1
            assert [p.name for p in (workdir / "checkpoints").iterdir()] != [newest]
    finish_epoch(store, model, 2)  # the broken one's place is free again
    assert epochs_of(workdir) == [1, 2]


def plain_file(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder")


def dangling_link(folder):
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def empty_manifest(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / manifest.NAME).write_text('{"files": {}}')


def folder_as_state(folder):
    (folder / "state.npz").unlink()
    (folder / "state.npz").mkdir()


@pytest.mark.parametrize("make", [plain_file, dangling_link, empty_manifest, folder_as_state])
def test_what_is_no_checkpoint_falls_back_to_the_one_before(tmp_path, make):
    save_epochs(tmp_path, 2)
    newest = max((tmp_path / "checkpoints").iterdir())
    make(newest)
    store, model, said = resume(tmp_path)
    assert store.progress.step == 10 and model.get_weights()[1][0] == 1
    (line,) = said
    assert newest.name in line and "going back to step-000000010" in line
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000000010-epoch-00001"]
    make(tmp_path / "checkpoints" / "step-000000010-epoch-00001")
    with pytest.raises(checkpoints.BrokenCheckpointError, match="no whole checkpoint"):
        checkpoints.restore(make_store(tmp_path)[0], say=print)


def test_going_back_before_the_first_epoch_takes_its_metrics_away(tmp_path):
    store, model = make_store(tmp_path)
    store.progress.step = 5
    checkpoints.save(store)
    finish_epoch(store, model, 1)
    damage(max((tmp_path / "checkpoints").iterdir()) / "state.npz", "flipped")
    store, _, _ = resume(tmp_path)
    assert store.progress.step == 5
    assert sorted(os.listdir(tmp_path)) == ["checkpoints"]


def test_no_whole_checkpoint_is_an_error_and_not_a_new_run(tmp_path):
    save_epochs(tmp_path, 2)
    for folder in (tmp_path / "checkpoints").iterdir():
        damage(folder / "state.npz", "flipped")
    before = snapshot(tmp_path)
    store, _ = make_store(tmp_path)
    with pytest.raises(checkpoints.BrokenCheckpointError) as caught:
        checkpoints.restore(store, say=print)
    message = str(caught.value)
    assert message.count("state.npz does not have its checksum") == 2
    assert message.endswith(f"Received: workdir={str(tmp_path)!r}")
    assert snapshot(tmp_path) == before
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(checkpoints.BrokenCheckpointError, match=r"no whole checkpoint.*card.json"):
        checkpoints.restore(store, say=print)


def test_a_run_of_another_configuration_is_refused_by_name(tmp_path):
    save_epochs(tmp_path, 1)
    other = {**IDENTITY, "batch_size": 16, "data": {"name": "y"}, "labels": ("a", "c"), "new": 1}
    store, _ = make_store(tmp_path, identity=other)
    before = snapshot(tmp_path)
    with pytest.raises(checkpoints.OtherRunError) as caught:
        checkpoints.restore(store, say=print)
    assert caught.value.differences == {
        "batch_size": (8, 16),
        "data.name": ("x", "y"),
        "labels": (["a", "b"], ["a", "c"]),
    }
    renamed = str(caught.value.renamed(lambda path: f"--{path}"))
    assert "--batch_size is 8 there and 16 here; --data.name is 'x' there" in renamed
    assert snapshot(tmp_path) == before
    save_epochs(tmp_path / "b", 1, identity={**IDENTITY, "init_weights": "start"})
    resume(tmp_path / "b")  # the weights to start from need not be named again
    with pytest.raises(checkpoints.OtherRunError, match="init_weights is 'start' there"):
        resume(tmp_path / "b", identity={**IDENTITY, "init_weights": "other"})


def test_a_start_that_does_not_name_the_first_weights_leaves_them_in_the_record(tmp_path):
    begun = {**IDENTITY, "init_weights": "start"}
    save_epochs(tmp_path, 1, identity=begun)
    store, model, _ = resume(tmp_path)
    finish_epoch(store, model, 2)
    with pytest.raises(checkpoints.OtherRunError, match="init_weights is 'start' there"):
        resume(tmp_path, identity={**IDENTITY, "init_weights": "other"})
    store, _, _ = resume(tmp_path, identity=begun)
    assert store.progress.epoch == 2


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name", "fail"),
    [
        (manifest, "write", no_space),
        (records, "add_row", no_space),
        (records, "save_best", no_space),
        (np, "savez", no_space),
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, owner, name, fail):
    store, model = save_epochs(tmp_path, 1)
    before = snapshot(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(OSError, match=r"a checkpoint could not be written in .*No space left"):
            finish_epoch(store, model, 2)
    assert snapshot(tmp_path) == before
    finish_epoch(store, model, 2)  # once there is room again
    assert epochs_of(tmp_path) == [1, 2]


def test_a_full_disk_outside_the_checkpoint(tmp_path, monkeypatch):
    store, model = save_epochs(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", no_space)
        patch.setattr(checkpoints.shutil, "copyfile", no_space)
        (tmp_path / "checkpoints").rename(tmp_path / "kept")
        with pytest.raises(OSError, match="the kept weights could not be written"):
            finish_epoch(store, model, 2)
    assert not (tmp_path / records.BEST).exists()  # it would not be that of the weights
    assert not list(tmp_path.glob(".partial-*"))
    resume(tmp_path)
    assert records.read_best(tmp_path)["epoch"] == 2


def test_the_kernels_own_refusal_to_write_more(tmp_path):
    store, model = make_store(tmp_path)
    with (
        pytest.raises(OSError, match=r"a checkpoint could not be written in .*MB are free"),
        file_limit.small_files(2000),
    ):
        finish_epoch(store, model, 1)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_work_directory_that_is_gone_is_not_made_again(tmp_path):
    from ran_tf.training import lock

    workdir = tmp_path / "run"
    with lock.hold(workdir) as check:
        store, model = save_epochs(workdir, 1, check=check)
        workdir.rename(tmp_path / "elsewhere")
        with pytest.raises(FileNotFoundError, match="is gone: it was removed, moved or unmounted"):
            finish_epoch(store, model, 2)
        assert not workdir.exists()
    resume(tmp_path / "elsewhere")


def test_an_argument_of_the_network_that_is_left_out_contradicts_another_value():
    dataset = types.SimpleNamespace(
        full_name="x", labels=("a", "b"), damage_explained=contextlib.nullcontext
    )
    data = types.SimpleNamespace(size=9, fingerprint="0")

    def identity(**model):
        chosen = config.TrainConfig(model=config.ModelConfig(**model))
        found = train_run._identity(chosen, dataset, data=data, init_weights=None)
        return json.loads(json.dumps(found))

    chosen = identity(backbone="tiny", attention="softmax", dtype="mixed_bfloat16")
    assert settings.differences(chosen, identity(backbone="tiny")) == {
        "model.attention": ("softmax", "sigmoid"),
        "model.dtype": ("mixed_bfloat16", "float32"),
    }
    said = identity(backbone="tiny", attention="sigmoid", size=(224, 224), dtype="float32")
    assert not settings.differences(said, identity(backbone="tiny"))


def test_every_setting_that_can_contradict_has_a_name_that_people_know(parse, tmp_path):
    values = parse(f"--workdir={tmp_path}", "--num_regions=8", "--region_variant=released")
    dataset = types.SimpleNamespace(
        full_name="ferplus/majority:1.0.0",
        labels=("a", "b"),
        damage_explained=contextlib.nullcontext,
    )
    data = types.SimpleNamespace(size=25_045, fingerprint="0")
    flat = train_run._identity(
        launch_flags.train_config(values), dataset, data=data, init_weights=None
    )
    assert flat["data.regions.k"] == 8 and flat["model.size"] == [224, 224]
    names = {setting: launch_flags.flag_of(setting) for setting in flat}
    assert names["data.regions.k"] == "--num_regions" and names["data.name"] == "--dataset"
    in_words = {setting for setting, name in names.items() if not name.startswith("--")}
    assert in_words == {"dataset", "labels", "train_faces", "train_data"}
    for setting in names.keys() - in_words:
        assert names[setting].removeprefix("--") in values, setting
    error = checkpoints.OtherRunError(tmp_path, {"train_faces": (25_045, 25_057)})
    assert "the number of training faces in --data_dir is 25045 there and 25057 here" in str(
        error.renamed(launch_flags.flag_of)
    )
