"""`ran_tf.launch.align` where its processes die: the run, one of its workers, at one photo."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from ran_tf.faces import Face, worker
from ran_tf.faces import align as align_lib
from ran_tf.faces.folder import align_folder
from ran_tf.faces.journal import JOURNAL
from ran_tf.faces.worker import AlignConfig
from tests.fixtures.align_files import COUNT, TIGHT, points, read_rows, write_tight_faces


@pytest.fixture(scope="module")
def tight_faces(tmp_path_factory):
    return write_tight_faces(tmp_path_factory.mktemp("tight"))


def test_a_killed_run_goes_on(tight_faces, tmp_path):
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "ran_tf.launch.align", f"--input_dir={tight_faces}"]
    command += [f"--output_dir={killed}", "--processes=2"]
    command += [f"--detector={TIGHT.name}", f"--pad={TIGHT.pad}", f"--min_face={TIGHT.min_face}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = killed / JOURNAL
    deadline = time.monotonic() + 300
    while not journal.exists() or journal.read_text().count("\n") < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    workers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers
    while any(alive(worker) for worker in workers):  # They do not outlive it.
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (killed / "landmarks.csv").exists()
    written = list(killed.glob("fer*.png"))
    assert 0 < len(written) < COUNT
    assert all(cv2.imread(str(path)).shape == (224, 224, 3) for path in written)

    # What a kill leaves in the middle of a write.
    (killed / ".partial-abcd1234").mkdir()
    (killed / ".partial-abcd1234" / "x.png").write_bytes(b"half")
    with journal.open("a") as file:
        file.write('{"path": "fer00')
    done_before = {path: path.stat().st_mtime_ns for path in written}
    recorded = [json.loads(line)["path"] for line in journal.read_text().splitlines()[1:-1]]
    options = {"input_dir": tight_faces, "config": AlignConfig(detector=TIGHT)}
    summary = align_folder(output_dir=killed, **options)
    assert summary.resumed == len(recorded) > 0
    for name in recorded:
        path = killed / name
        assert path not in done_before or done_before[path] == path.stat().st_mtime_ns
    assert not list(killed.glob(".partial-*"))

    clean = tmp_path / "clean"
    align_folder(output_dir=clean, **options)
    assert len(read_rows(clean / "landmarks.csv")) == summary.faces > 0.9 * COUNT
    for ours, theirs in zip(
        read_rows(killed / "landmarks.csv"), read_rows(clean / "landmarks.csv"), strict=True
    ):
        assert ours["id"] == theirs["id"]
        np.testing.assert_allclose(points(ours), points(theirs), atol=1e-4)
    again = align_folder(
        input_dir=tight_faces, output_dir=clean, config=AlignConfig(detector=TIGHT)
    )
    assert again.resumed == again.images == COUNT


def find_at_once(config, *, threads=None):
    """In place of `create_detector`: one face in the middle of every photo."""
    face = Face(np.array([6, 6, 42, 42], np.float32), 0.9, align_lib.TEMPLATE * 48 - 0.5)
    return lambda images: [[face]] * len(images)


def start_worker(config, input_dir, output_dir, make):
    """In place of `worker.start_worker`: no network, so that a start costs little."""
    worker.create_detector = find_at_once
    worker._process = worker.create_processor(config, input_dir=input_dir, output_dir=output_dir)


def process_or_die(output_dir, paths):
    """In place of `worker.process_in_worker`: one photo crashes native code, in mid-write."""
    if "fer0000020.png" in paths:
        (output_dir / ".partial-abcd1234").mkdir(exist_ok=True)
        signal.raise_signal(signal.SIGSEGV)
    return worker.process_in_worker(paths)


@pytest.fixture
def quick_workers(monkeypatch):
    monkeypatch.setattr("ran_tf.faces.folder.start_worker", start_worker)
    monkeypatch.setattr("ran_tf.faces.worker.create_detector", find_at_once)


@pytest.mark.usefixtures("quick_workers")
def test_a_photo_that_crashes_its_process_is_listed(tight_faces, tmp_path, monkeypatch):
    task = functools.partial(process_or_die, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("ran_tf.faces.folder.process_in_worker", task)
        summary = align_folder(
            input_dir=tight_faces, output_dir=tmp_path, config=AlignConfig(), processes=2
        )
    assert summary.statuses == {"ok": COUNT - 1, "crashed": 1}
    assert "0 unreadable, 1 that crashed the detector" in str(summary)
    report = {row["path"]: row for row in read_rows(tmp_path / "report.csv")}
    assert len(report) == COUNT and report["fer0000020.png"]["status"] == "crashed"
    assert report["fer0000020.png"]["note"].endswith("died: SIGSEGV")
    assert len(read_rows(tmp_path / "landmarks.csv")) == COUNT - 1
    assert_whole(tmp_path, faces=COUNT - 1)
    # Tried again where it no longer crashes, and nothing else is.
    again = align_folder(input_dir=tight_faces, output_dir=tmp_path, config=AlignConfig())
    assert again.resumed == COUNT - 1 and again.statuses == {"ok": COUNT}


@pytest.mark.usefixtures("quick_workers")
def test_a_killed_worker_costs_nothing(tight_faces, tmp_path):
    """As where memory is short: the system kills one of them, and no photo is to blame."""
    killed = []

    def kill_a_worker(done, total):
        if done and not killed:
            killed.append(multiprocessing.active_children()[0])
            os.kill(killed[0].pid, signal.SIGKILL)

    places = {"input_dir": tight_faces, "output_dir": tmp_path, "config": AlignConfig()}
    summary = align_folder(**places, processes=2, on_photos=kill_a_worker)
    assert killed and not killed[0].is_alive()
    assert summary.statuses == {"ok": COUNT}
    journal = [json.loads(x) for x in (tmp_path / JOURNAL).read_text().splitlines()[1:]]
    assert sorted(x["path"] for x in journal) == sorted(x.name for x in tight_faces.iterdir())
    assert_whole(tmp_path, faces=COUNT)


def assert_whole(output_dir, *, faces):
    assert not list(output_dir.rglob(".partial-*")) and not multiprocessing.active_children()
    written = list(output_dir.glob("fer*.png"))
    assert len(written) == faces
    assert all(cv2.imread(str(path)).shape == (224, 224, 3) for path in written)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(x) for x in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
