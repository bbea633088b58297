"""python -m ran_tf.launch.prepare: what it builds, says and refuses."""

import pathlib
import threading
import time

import pytest
import tensorflow_datasets as tfds

from ran_tf import config
from ran_tf.data import prepared
from ran_tf.data.prepare import prepare
from ran_tf.launch import prepare as command
from tests.fixtures import ferplus_files
from tfds_builders.ferplus import votes
from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder

FEW = {"train": {"clean": 8}, "validation": {"clean": 8}, "test": {"glasses": 8, "beyond_45": 8}}


@pytest.fixture
def raw(tmp_path):
    return ferplus_files.write_lists(ferplus_files.write_folders(tmp_path / "raw"))


def test_a_dataset_is_built_once_and_described(tmp_path, raw, capsys):
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "out")}
    said = (
        "train 2, validation 1, test 3, ambiguous 2 faces; "
        "among them occlusion 2, pose_30 2, pose_45 1; from folders FER2013Train, FER2013Valid, "
        "FER2013Test; votes of label.csv. "
    )
    line = prepare(dataset="ferplus", **where)
    assert line.startswith(f"ferplus/majority/1.1.0: {said}Built in ")
    assert "train" in capsys.readouterr().out  # the bar
    assert (
        sum(len(split) for split in tfds.load("ferplus", data_dir=where["data_dir"]).values()) == 8
    )

    record = next((tmp_path / "out").rglob("*train.tfrecord*"))
    written = record.stat().st_mtime_ns
    again = prepare(dataset="ferplus/majority", data_dir=where["data_dir"])  # raw files are gone
    folder = tmp_path / "out" / "ferplus" / "majority" / "1.1.0"
    assert again == (
        f"ferplus/majority/1.1.0: {said}Already built in {folder}: "
        "delete that folder to build it again"
    )
    assert record.stat().st_mtime_ns == written


@pytest.fixture
def while_built(monkeypatch):
    """Calls a function once while examples are being written."""

    def call(function):
        made = votes.distribution
        calls = iter([function])

        def distribution(*arguments):
            next(calls, lambda: None)()
            return made(*arguments)

        monkeypatch.setattr(votes, "distribution", distribution)

    return call


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(tmp_path, raw, while_built):
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "out")}
    folder = tmp_path / "out" / "ferplus" / "majority"
    unfinished = []
    while_built(lambda: unfinished.extend(folder.glob("incomplete.*")))
    prepare(dataset="ferplus", **where)
    (killed,) = unfinished
    assert not killed.exists()
    other = folder / "incomplete.AAAAAA_1.1.0"  # TFDS' own name: of whom, nobody knows
    (folder / "1.1.0").rename(killed)
    other.mkdir()
    prepare(dataset="ferplus", **where)
    assert {path.name for path in folder.glob("[!.]*")} == {"1.1.0", other.name}


def test_a_second_run_waits_for_the_first(tmp_path, raw, while_built):
    where = {"manual_dir": str(raw), "data_dir": str(tmp_path / "out")}
    lines, started = [], threading.Event()

    def second():
        started.set()
        lines.append(prepare(dataset="ferplus", **where))

    thread = threading.Thread(target=second)
    while_built(lambda: (thread.start(), started.wait(), time.sleep(0.3)))
    assert "Built in" in prepare(dataset="ferplus", **where)
    thread.join()
    assert "Already built" in lines[0]


def test_a_config_is_named_after_a_slash_and_a_home_directory_with_a_tilde(
    tmp_path, raw, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    line = prepare(dataset="ferplus/votes", manual_dir="~/raw", data_dir="~/data")
    opened = prepared.open_dataset(config.DataConfig(name="ferplus/votes", data_dir="~/data"))
    assert pathlib.Path(opened.builder.data_dir).is_relative_to(tmp_path / "data")
    assert not (tmp_path / "~").exists()
    assert line.startswith("ferplus/votes/1.1.0: train 2")


def test_synthetic_faces_need_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_faces_dataset_builder, "SPLITS", FEW)
    line = prepare(dataset="synthetic_faces", data_dir=str(tmp_path))
    assert line.startswith(
        "synthetic_faces/1.0.0: train 8, validation 8, test 16 faces; "
        "among them occlusion 8, pose_30 8, pose_45 8. Built in "
    )


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"dataset": "fer"}, ValueError, r"one of .*ferplus, .*synthetic_faces.*dataset='fer'"),
        ({"dataset": "ferplus/vote"}, ValueError, r"configs majority, votes.*'ferplus/vote'"),
        ({"dataset": "synthetic_faces/x"}, ValueError, r"configs none\. Received"),
        ({"dataset": "ferplus"}, ValueError, r"is needed to build ferplus: .*manual_dir=None"),
        (
            {"dataset": "ferplus", "manual_dir": "no/such"},
            FileNotFoundError,
            r"is not a folder: manual_dir is the folder that holds FER2013Train.*'no/such'",
        ),
    ],
)
def test_a_mistaken_flag_is_named(tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        prepare(data_dir=str(tmp_path), **values)
    assert not list(tmp_path.rglob("*tfrecord*"))


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(FileNotFoundError, match=r"`manual_dir` is empty: .*Received: manual_dir="):
        prepare(dataset="ferplus", manual_dir=str(tmp_path / "raw"), data_dir=str(tmp_path / "out"))


def test_the_command_prints_the_line(tmp_path, raw, parse, capsys, caplog):
    where = (f"--manual_dir={raw}", f"--data_dir={tmp_path / 'out'}")
    parse("--dataset=ferplus", *where, command=command)
    command.main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("ferplus/majority/1.1.0: train 2")
    assert "Variant folder" not in caplog.text
