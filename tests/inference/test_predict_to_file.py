"""Rows in a file that appears whole, and runs that go on; the predictor's answers are known."""

import csv
import json
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from pyarrow import parquet

import ran_tf
from ran_tf import DetectorConfig
from ran_tf.config import RegionConfig
from ran_tf.launch import predict, predict_output
from ran_tf.weights.card import ModelCard
from tests.inference.test_predict_files import LABELS, Brightness, write_image, write_video

CARD = ModelCard(
    dataset="light", labels=LABELS, image_size=(8, 8), regions=RegionConfig(k=6), model={}
)


class Known(Brightness):
    """As its base, and keeps what it was asked for; `stop_at` is the photo that ends the run."""

    card, source, detector = CARD, "light", DetectorConfig()

    def __init__(self, *, stop_at: str | None = None):
        super().__init__()
        self.asked: list[str] = []
        self._stop_at = stop_at

    def _answer(self, item, answer):
        if not isinstance(item, np.ndarray):
            if item.name == self._stop_at:
                raise KeyboardInterrupt
            self.asked.append(item.name)
        return super()._answer(item, answer)


@pytest.fixture
def photos(tmp_path):
    """Seven: one of two faces, one damaged, one that nobody finds a face in, and a video."""
    folder = tmp_path / "photos"
    paths = [write_image(folder / f"{i}.png", 40 * i, size=(110, 100)) for i in range(4)]
    paths.append(write_image(folder / "two.png", 200, size=(210, 100)))
    (folder / "bad.png").write_bytes(b"no image")
    paths += [folder / "bad.png", write_image(folder / "nobody.png", 9)]
    paths.append(write_video(folder / "clip.avi", [0] * 20, size=(112, 48)))
    return paths


def read(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def run(photos, out, *, predictor=None, **options):
    predictor = predictor or Known()
    options = {"align": True, "batch_size": 2, "every": 0.5, **options}
    return ran_tf.predict_to_file(predictor, photos, out, **options)


def test_every_form_says_the_same_as_the_rows(photos, tmp_path):
    rows = list(ran_tf.predict_files(Known(), photos, align=True, every=0.5))
    for form in ("csv", "json", "parquet"):
        done = run(photos, tmp_path / f"faces.{form}")
        assert (done.photos, done.total, done.failed, done.resumed) == (8, 8, 2, 0)
        assert done.faces == sum("error" not in row for row in rows) == 10
    assert json.loads((tmp_path / "faces.json").read_text()) == rows
    table = read(tmp_path / "faces.csv")
    columns = parquet.read_table(tmp_path / "faces.parquet")
    assert columns.column_names == list(table[0])
    for row, line, cells in zip(rows, table, columns.to_pylist(), strict=True):
        assert line["path"] == cells["path"] == row["path"]
        assert (line["error"] or None) == cells["error"] == row.get("error")
        assert line["seconds"] == str(row.get("seconds", ""))
        assert cells["face"] == row.get("face")
        if "error" not in row:
            assert float(line["p_light"]) == row["probabilities"]["light"]
            assert cells["p_light"] == pytest.approx(row["probabilities"]["light"], abs=1e-6)
            assert [cells[side] for side in ("y0", "x0", "y1", "x1")] == row["box"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("faces.csv", "faces.json", "faces.parquet", "photos"),
    ]


def test_a_run_that_was_stopped_goes_on(photos, tmp_path):
    out = tmp_path / "faces.csv"
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(photos, out, predictor=Known(stop_at="two.png"))
    assert stopped.value.__notes__ == [
        f"4 of 8 are kept in {out}.journal: the same command with --resume (resume=True) continues"
    ]
    assert not out.exists()
    with pytest.raises(FileExistsError, match="--resume"):
        run(photos, out)
    with pytest.raises(ValueError, match="begun with other settings .*every=0.5.*every=1.0"):
        run(photos, out, resume=True, every=1.0)
    # More has come meanwhile, and order does not matter.
    more = write_image(tmp_path / "photos" / "more.png", 3, size=(110, 100))
    again, seen = Known(), []
    done = run([more, *photos], out, predictor=again, resume=True, on_progress=seen.append)
    assert sorted(again.asked) == ["bad.png", "more.png", "nobody.png", "two.png"]
    assert (done.photos, done.total, done.resumed, done.failed) == (9, 9, 4, 2)
    assert [progress.photos for progress in seen] == [5, 6, 7, 8, 9]
    assert seen[-1].seconds_left == 0
    whole = run([*photos, more], tmp_path / "whole.csv")
    assert (whole.faces, whole.failed) == (done.faces, done.failed)
    by_name = lambda rows: sorted(rows, key=lambda row: (row["path"], row["face"]))  # noqa: E731
    assert by_name(read(out)) == by_name(read(tmp_path / "whole.csv"))
    assert run(photos, out, resume=True).total == 0, "a whole file is left alone"
    with pytest.raises(FileExistsError, match="is not overwritten"):
        run(photos, out)


@pytest.mark.parametrize(
    ("cut", "again"),
    [(b'"bad.png"}', ["bad.png"]), (b'"face": 1', ["two.png", "bad.png"])],
    ids=["within the line that says done", "between two faces"],
)
def test_what_a_kill_cut_off_is_done_again(photos, tmp_path, cut, again):
    out, journal = tmp_path / "faces.csv", tmp_path / "faces.csv.journal"
    with pytest.raises(KeyboardInterrupt):
        run(photos, out, predictor=Known(stop_at="nobody.png"))
    kept = journal.read_bytes()
    journal.write_bytes(kept[: kept.rindex(cut.removeprefix(b'"'))])
    predictor = Known()
    run(photos, out, predictor=predictor, resume=True)
    # Batches are asked at once, in either order.
    assert sorted(predictor.asked) == sorted([*again, "nobody.png"])
    run(photos, tmp_path / "whole.csv")
    assert read(out) == read(tmp_path / "whole.csv")


def test_a_video_that_was_stopped_is_read_from_its_start(photos, tmp_path):
    class Stops(Known):
        def faces(self, items, *, on_error):
            if isinstance(items[0], np.ndarray) and len(self.batches) > 4:
                raise KeyboardInterrupt
            return super().faces(items, on_error=on_error)

    out = tmp_path / "faces.json"
    with pytest.raises(KeyboardInterrupt):
        run(photos, out, predictor=Stops())
    assert b'"seconds"' in (tmp_path / "faces.json.journal").read_bytes()
    again = Known()
    run(photos, out, predictor=again, resume=True)
    assert again.asked == []
    assert json.loads(out.read_text()) == list(
        ran_tf.predict_files(Known(), photos, align=True, every=0.5)
    )


def test_pictures_of_an_earlier_run_are_left_alone(tmp_path):
    paths = [write_image(tmp_path / f / "x.png", 250, size=(110, 100)) for f in "abc"]
    out, drawn = tmp_path / "faces.csv", tmp_path / "drawn"
    with pytest.raises(KeyboardInterrupt):
        options = {"annotate": drawn, "batch_size": 1}
        first = Known()
        first.asked = types.SimpleNamespace(append=lambda name: stop_at_second(first))
        run(paths, out, predictor=first, **options)
    run(paths, out, resume=True, **options)
    names = ["x_face0.png", "x_face0_2.png", "x_face0_3.png"]
    assert [os.path.basename(row["annotated"]) for row in read(out)] == names
    assert sorted(p.name for p in drawn.iterdir()) == names


def stop_at_second(predictor):
    if len(predictor.batches) == 2:
        raise KeyboardInterrupt


def test_files_that_cannot_be_are_refused_before_any_work(photos, tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    for out, words in (
        (tmp_path / "folder.csv", "`out` must be a file"),
        (tmp_path / "faces.xls", "`out` must be a file that ends with one of .csv, .json, .parq"),
        (photos[0] / "faces.csv", "`out` must be a folder that can be written"),
    ):
        predictor = Known()
        with pytest.raises(ValueError, match=words):
            run(photos, out, predictor=predictor)
        assert predictor.asked == []
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RuntimeError, match=r"ran_tf\[parquet\]"):
        run(photos, tmp_path / "faces.parquet")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("table", None)),
        (["--csv=faces.csv"], ("csv", "faces.csv")),
        (["--json=-"], ("json", "-")),
        (["--parquet=a", "--resume"], ("parquet", "a")),
        (["--csv=a", "--parquet=b"], "choose one output. Received: --csv=a --parquet=b"),
        (["--parquet=-"], "--parquet needs a FILE"),
        (["--resume"], "--resume continues a file"),
        (["--resume", "--csv=-"], "--resume continues a file"),
    ],
)
def test_what_the_flags_put_out(arguments, expected, parse):
    values = parse("--model=x", *arguments, command=predict)
    if isinstance(expected, tuple):
        assert predict.choose_output(values) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            predict.choose_output(values)


def test_a_log_is_told_every_half_minute_how_far_it_is(monkeypatch, capsys):
    clock = iter([0, 10, 31, 31, 60])
    seconds = types.SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr(predict_output, "time", seconds)
    done = ran_tf.Progress(photos=30, total=90, faces=31, failed=2, resumed=10, seconds=4.0)
    with predict_output.progress_line() as tell:
        for _ in range(3):
            tell(done)
    assert capsys.readouterr().err.splitlines() == [
        "30 of 90 photos, 31 faces, 2 failed, 5.0 photos/s, 0:00:12 left"
    ]


def test_what_was_written_is_said(photos, tmp_path, capsys):
    done = run(photos, tmp_path / "faces.csv")
    missing = [{"path": "no*.png", "error": "no file matches"}]
    predict_output.say_written(done, missing, out="faces.csv")
    said = capsys.readouterr()
    assert said.out == "wrote faces.csv\n" and "left" not in said.err
    assert (
        "no*.png: no file matches" in said.err and "8 of 8 photos, 10 faces, 2 failed" in said.err
    )
    again = run(photos, tmp_path / "faces.csv", resume=True)
    predict_output.say_written(again, [], out="faces.csv")
    said = capsys.readouterr()
    assert said.out == "" and "exists already and was left unchanged" in said.err


KILLED = """
import pathlib, sys
import ran_tf
from tests.inference.test_predict_to_file import Known
paths = sorted(pathlib.Path(sys.argv[1]).iterdir())
tell = lambda done: print(done.photos, flush=True)
ran_tf.predict_to_file(Known(), paths, sys.argv[2], align=True, resume=True, batch_size=2,
                       on_progress=tell)
"""


@pytest.mark.large
def test_kills_at_any_moment_lose_no_photo_and_do_none_twice(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "faces.csv"
    for i in range(3000):
        write_image(folder / f"{i}.png", i % 256, size=(110 + 100 * (i % 2), 100))
    kills = 0
    while not out.exists():
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), str(out)], stdout=subprocess.PIPE, text=True
        )
        begun = process.stdout.readline()
        last = int(begun or 0) + 400
        for line in process.stdout:
            if int(line) >= last:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
        process.stdout.close()
        process.wait()
    assert kills >= 5
    rows = read(out)
    assert len(rows) == 4500 and len({(row["path"], row["face"]) for row in rows}) == 4500
