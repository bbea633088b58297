"""What happens around a run: signals, other devices, damaged data, no memory, a clock set back."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import shutil
import tempfile
import time

import importlib_resources  # noqa: F401, see `read_only`
import numpy as np
import pytest
import tensorflow as tf

from ran_tf.data import damage, pipeline, prepare, prepared
from ran_tf.training import checkpoints, faults, lock, loop, tensorflow_engine
from ran_tf.weights import records
from tests.fixtures import tiny_runs


@pytest.fixture(scope="module")
def config(synthetic_dir):
    return tiny_runs.make_config(synthetic_dir)


def run(config, workdir, *, strategy=None, **kwargs):
    strategy = strategy or tf.distribute.MirroredStrategy(["CPU:0"])
    return loop.train(config, workdir, strategy=strategy, **kwargs)


def metrics_of(workdir):
    text = (workdir / records.METRICS).read_text().splitlines()
    return np.array([[float(v) for v in line.split(",")[:-1]] for line in text[1:]])


def written(workdir):
    """When each file was written; without those that every start touches."""
    return {
        path: path.stat().st_mtime_ns
        for path in workdir.rglob("*.*")
        if "events" not in path.name and path.name not in (lock.NAME, records.RUN)
    }


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nothing stopped, on one device."""
    workdir = tmp_path_factory.mktemp("whole")
    run(config, workdir)
    return workdir


def test_a_stopped_run_goes_on_on_two_devices_and_on_one_again(
    config, whole, tmp_path, two_replicas, monkeypatch
):
    """Stopped in an epoch, then in validation, then in an epoch on two devices; meanwhile the clock
    is set back again and again."""
    clock = itertools.count(1e9, -3600.0)
    monkeypatch.setattr(time, "time", lambda: next(clock))

    def go_on(*, stop=True, strategy=None):
        heard, said = [], []
        hooks = loop.Hooks(
            on_step=heard.append, on_message=said.append, stop=lambda: stop and len(heard) == 1
        )
        with pytest.raises(loop.Stopped) if stop else contextlib.nullcontext():
            run(config, tmp_path, hooks=hooks, strategy=strategy)
        assert all(report.faces_per_second > 0 for report in heard)
        newest = max(os.listdir(tmp_path / "checkpoints"))
        return newest, [(report.epoch, report.step) for report in heard], said

    newest, _, _ = go_on()
    assert os.listdir(tmp_path / "checkpoints") == [newest]
    assert newest == "step-000000002-epoch-00000"  # the step that ran was finished

    newest, heard, said = go_on(strategy=two_replicas)
    assert newest == "step-000000003-epoch-00000"
    assert heard == [(1, 3)] and "resumed at step 2" in said[-1]

    newest, heard, _ = go_on(strategy=two_replicas)
    assert newest == "step-000000005-epoch-00001" and heard == [(2, 1), (2, 2)]

    _, heard, said = go_on(stop=False)
    assert heard == [(2, 3)] and "resumed at step 5" in said[-1]
    np.testing.assert_allclose(metrics_of(tmp_path), metrics_of(whole), rtol=1e-5, atol=1e-5)


def test_a_second_run_in_the_directory_and_one_of_other_settings_are_refused(config, whole):
    before = written(whole)

    def second():
        with pytest.raises(RuntimeError, match=rf"in use by another run \(process {os.getpid()} "):
            run(config, whole)

    run(config, whole, hooks=loop.Hooks(on_start=second))
    other = dataclasses.replace(
        config,
        batch_size=8,
        seed=1,
        model=dataclasses.replace(config.model, backbone="mobilenet_v1"),
        data=dataclasses.replace(config.data, train_split="train[:21]"),
    )

    def never():
        raise AssertionError("a refused run must not be noted as a start")

    with pytest.raises(checkpoints.OtherRunError) as caught:
        run(other, whole, hooks=loop.Hooks(on_start=never))
    assert set(caught.value.differences) == {
        "batch_size",
        "seed",
        "model.backbone",
        "data.train_split",
        "train_faces",
        "train_data",
    }
    assert written(whole) == before


def test_a_dataset_that_was_built_anew_with_other_classes_is_another(config, whole, tmp_path):
    moved = shutil.copytree(config.data.data_dir, tmp_path / "moved")
    for path in moved.rglob("*train.tfrecord*"):
        examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(path)]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for example in examples:
                (label,) = example.features.feature["label"].int64_list.value
                example.features.feature["label"].int64_list.value[0] = 7 - label
                writer.write(example.SerializeToString())
    data = dataclasses.replace(config.data, data_dir=str(moved))
    with pytest.raises(checkpoints.OtherRunError) as caught:
        run(dataclasses.replace(config, data=data), whole)
    assert set(caught.value.differences) == {"train_data"}


def test_where_the_data_are_may_change(config, whole, tmp_path):
    moved = shutil.copytree(config.data.data_dir, tmp_path / "moved")
    data = dataclasses.replace(config.data, data_dir=str(moved))
    changed = dataclasses.replace(config, data=data, deterministic=False)
    best = run(changed, whole)
    assert best.metrics == records.read_best(whole)


def test_no_memory_names_the_setting_to_lower(config, tmp_path, monkeypatch):
    make = tensorflow_engine.make_train_step

    def make_greedy(*args, **kwargs):
        step = make(*args, **kwargs)

        def greedy(batch, number):
            if number.numpy() == 1:
                tf.zeros([2**46])
            return step(batch, number)

        greedy.get_concrete_function = step.get_concrete_function
        return greedy

    monkeypatch.setattr(tensorflow_engine, "make_train_step", make_greedy)
    with pytest.raises(faults.OutOfMemoryError) as caught:
        run(config, tmp_path)
    assert str(caught.value).startswith("out of memory (")
    assert "Go on with --nocache, or lower --batch_size" in str(caught.value)
    assert str(caught.value).endswith("Received: batch_size=7")


@pytest.fixture
def copied(config, tmp_path):
    """A copy of the dataset, to be damaged: the run's settings and the first training file."""
    data_dir = shutil.copytree(config.data.data_dir, tmp_path / "tfds")
    data = dataclasses.replace(config.data, data_dir=str(data_dir))
    builder = prepared.open_dataset(data).builder
    return dataclasses.replace(config, data=data), builder.info.splits["train"].filepaths[0]


def test_a_flipped_bit_in_the_data_is_found(copied, tmp_path):
    config, file = copied
    content = bytearray(pathlib.Path(file).read_bytes())
    content[1000] ^= 4
    pathlib.Path(file).write_bytes(content)
    with pytest.raises(damage.DamagedDatasetError) as caught:
        run(config, tmp_path / "run")
    message = str(caught.value)
    assert f"{file} is damaged after" in message
    assert "python -m ran_tf.launch.prepare --dataset=synthetic_faces)" in message


def first_record(file) -> int:
    """Bytes of a TFRecord file's first record."""
    with open(file, "rb") as handle:
        return 8 + 4 + int.from_bytes(handle.read(8), "little") + 4


def test_a_file_cut_off_between_two_records_is_found(copied, tmp_path):
    """Every record in it is whole: there are only fewer."""
    config, file = copied
    os.truncate(file, first_record(file))
    with pytest.raises(damage.DamagedDatasetError, match="holds 1 of 320 examples"):
        run(config, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


def test_a_missing_or_empty_file_is_found_when_the_dataset_is_opened(copied):
    config, file = copied
    os.truncate(file, 0)
    with pytest.raises(damage.DamagedDatasetError, match="1 of its files are missing or empty"):
        prepared.open_dataset(config.data)
    os.remove(file)
    with pytest.raises(damage.DamagedDatasetError, match=os.path.basename(file)):
        prepared.open_dataset(config.data)


def test_a_dataset_that_is_half_prepared_is_not_taken_for_one(config, tmp_path):
    """What a killed `prepare` leaves: a folder that is named as unfinished."""
    there = prepared.open_dataset(config.data).builder.data_dir
    shutil.copytree(there, tmp_path / "synthetic_faces" / "incomplete.AAAAAA_1.0.0")
    data = dataclasses.replace(config.data, data_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"is not prepared in .*Run first: python -m"):
        prepared.open_dataset(data)


def first_batch(data):
    batches = pipeline.eval_batches(
        data, prepared.open_dataset(data), split="validation[:12]", batch_size=12
    )
    return next(iter(batches))


@pytest.fixture
def read_only(config, synthetic_dir, tmp_path_factory):
    """The dataset where this process may not write: root may everywhere, so become somebody."""
    folder = tmp_path_factory.mktemp("read_only")
    shutil.copytree(synthetic_dir, folder / "tfds")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in folder.parents:  # of the tests' own, which others may not enter
        if parent.is_relative_to(tempfile.gettempdir()) and parent.stat().st_uid == os.geteuid():
            parent.chmod(parent.stat().st_mode | 0o011)
    first_batch(config.data)  # TFDS imports late, from where somebody else may not look
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield str(folder / "tfds")
    os.seteuid(user)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


def test_a_read_only_data_directory_is_read_and_prepare_says_what_it_needs(config, read_only):
    data = dataclasses.replace(config.data, data_dir=read_only)
    assert first_batch(data)["image"].shape[0] == 12
    assert "Already built" in prepare.prepare(dataset="synthetic_faces", data_dir=read_only)
    with pytest.raises(PermissionError):
        prepare.prepare(dataset="synthetic_faces", data_dir=f"{read_only}/new")
