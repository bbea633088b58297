"""The command's way from paths to rows, on a predictor whose answers are known."""

import csv
import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

import ran_tf
from ran_tf.config import RegionConfig
from ran_tf.images import decoding
from ran_tf.inference import video
from ran_tf.inference.files import check_annotate, find_files
from ran_tf.inference.prediction import Failure, FoundFace, Prediction
from ran_tf.inference.row_files import column_types
from ran_tf.inference.rows import answer_rows
from ran_tf.launch import predict_output
from ran_tf.weights.card import ModelCard
from ran_tf.weights.covered_readout import CoveredReadout

LABELS = ("dark", "light")
BOXES = np.float32([(0, 0, 1, 1), (0, 0, 0.75, 0.75)])


def make_card(labels=LABELS, *, k: int = 2, covered=None) -> ModelCard:
    return ModelCard(
        dataset="mine",
        labels=labels,
        image_size=(32, 32),
        regions=RegionConfig(kind="random", k=k),
        model={},
        covered=covered,
    )


def make_columns(labels=LABELS, *, found: bool, **changes) -> dict[str, type]:
    return column_types(make_card(labels, **changes), found=found)


class Brightness:
    """Tells dark from light images; in photos it finds a face for each hundred pixels of width."""

    labels, card = LABELS, make_card()

    def __init__(self):
        self.batches = []

    def __call__(self, items, *, on_error):
        assert on_error == "return"
        self.batches.append(len(items))
        return [self._answer(item, lambda pixels: self._classify(pixels)) for item in items]

    def faces(self, items, *, on_error):
        assert on_error == "return"
        self.batches.append(len(items))
        return [self._answer(item, self._find) for item in items]

    def _answer(self, item, answer):
        try:
            return answer(item if isinstance(item, np.ndarray) else decoding.read_image(item))
        except (OSError, ValueError) as error:
            return Failure(str(error))

    def _classify(self, pixels):
        light = np.float32(pixels.mean() / 255)
        return Prediction(
            LABELS[int(light > 0.5)], np.array([1 - light, light]), np.float32([0.3, 0.7]), BOXES
        )

    def _find(self, photo):
        return [
            FoundFace(
                self._classify(photo[:, x : x + 100]),
                box=np.float32([0, x, len(photo) - 1, x + 99]),
                score=0.9,
                image=photo[:50, x : x + 50],
                landmarks=np.add([(30, 40), (70, 40), (50, 60), (35, 80), (65, 80)], (x, 0)),
            )
            for x in range(0, photo.shape[1] - 99, 100)
        ]


def write_image(path, value, *, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)
    return path


def write_video(path, values, *, rate=10, size=(64, 48), codec="MJPG"):
    """One grey value a frame."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    assert writer.isOpened()
    for value in values:
        writer.write(np.full((size[1], size[0], 3), value, np.uint8))
    writer.release()
    return path


def run(paths, **options):
    predictor = Brightness()
    rows = list(ran_tf.predict_files(predictor, paths, **options))
    for row in rows:
        row["path"] = row["path"].rpartition("/")[2]
    return rows, predictor


def test_what_paths_mean(tmp_path):
    hidden = (".hidden.png", ".thumbnails/a.jpg", "more/.git/deep/a.jpg")
    for name in ("b.PNG", "more/a.jpg", "more/clip.mp4", *hidden, "d.png/x.txt", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    found, failures, left_out = find_files([str(tmp_path)])
    assert left_out == {"of another kind": 2}
    assert [str(p.relative_to(tmp_path)) for p in found] == ["b.PNG", "more/a.jpg", "more/clip.mp4"]
    assert failures == []
    named, *_ = find_files([str(tmp_path / ".thumbnails")])
    assert [p.name for p in named] == ["a.jpg"]
    arguments = ["**/*.jpg", "b.PNG", "c.txt", "no*.png", "gone.png", "d.png"]
    found, failures, _ = find_files([str(tmp_path / a) for a in arguments])
    names = ["more/a.jpg", "b.PNG", "c.txt", "gone.png"]
    assert [str(p.relative_to(tmp_path)) for p in found] == names, "a named file is always tried"
    assert [f["path"].rpartition("/")[2] for f in failures] == ["no*.png", "d.png"]
    assert failures[0]["error"] == "no file matches"
    assert failures[1]["error"] == "no image or video in this folder"
    twice, *_ = find_files([str(tmp_path / "b.PNG")] * 2)
    assert len(twice) == 1


def test_images_in_batches_and_in_order(tmp_path):
    paths = [write_image(tmp_path / f"{i}.png", value) for i, value in enumerate([0, 255, 255, 0])]
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths.insert(2, tmp_path / "bad.png")
    rows, predictor = run(paths, batch_size=2)
    assert sorted(predictor.batches) == [1, 2, 2]
    assert [row["path"] for row in rows] == ["0.png", "1.png", "bad.png", "2.png", "3.png"]
    assert [row.get("label") for row in rows] == ["dark", "light", None, "light", "dark"]
    assert rows[2].keys() == {"path", "error"} and "not an image" in rows[2]["error"]
    assert rows[0] == {
        "path": "0.png",
        "label": "dark",
        "probability": 1.0,
        "heaviest_region": "top left 75%",
        "probabilities": {"dark": 1.0, "light": 0.0},
        "weights": [0.3, 0.7],
        "boxes": BOXES.tolist(),
    }


class Together(Brightness):
    """Begins a batch when another has come, too."""

    def __init__(self):
        super().__init__()
        self._both = threading.Barrier(2)

    def __call__(self, items, *, on_error):
        self._both.wait(10)
        return super().__call__(items, on_error=on_error)


def test_two_batches_of_photos_or_frames_are_worked_on_at_once(tmp_path):
    values = [0, 255, 255, 0]
    paths = [write_image(tmp_path / f"{i}.png", value) for i, value in enumerate(values)]
    for files in (paths, [write_video(tmp_path / "a.avi", values)]):
        rows = list(ran_tf.predict_files(Together(), files, batch_size=1, every=0.1))
        assert [row["label"] for row in rows] == ["dark", "light", "light", "dark"]


def test_all_faces_of_a_photo(tmp_path):
    two = np.zeros((120, 230, 3), np.uint8)
    two[:, 100:] = 255
    Image.fromarray(two).save(tmp_path / "two.png")
    none = write_image(tmp_path / "none.png", 9)
    rows, _ = run([tmp_path / "two.png", none], align=True)
    first, second, nobody = rows
    assert (first["face"], first["label"], first["score"]) == (0, "dark", 0.9)
    assert (second["face"], second["label"], second["box"]) == (1, "light", [0, 100, 119, 199])
    assert nobody == {
        "path": "none.png",
        "error": "no face was found; leave out --align for face crops",
    }


@pytest.mark.parametrize(("codec", "ending"), [("MJPG", "avi"), ("mp4v", "mp4")])
def test_frames_of_a_video(tmp_path, codec, ending):
    """A frame each half second: 0, 5, 10 ... of ten a second, whose values grow with time."""
    values = [10 * i for i in range(25)]
    path = write_video(tmp_path / f"clip.{ending}", values, codec=codec)
    frames = list(video.read_frames(path, every=0.5))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.5, 1.0, 1.5, 2.0], abs=1e-3)
    for frame, value in zip(frames, values[::5], strict=True):
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert abs(frame.image.astype(int) - value).max() <= 6
    assert len(list(video.read_frames(path, every=0))) == 25
    assert len(list(video.read_frames(path, every=100))) == 1
    rows, predictor = run([path], every=0.5, batch_size=2)
    assert sorted(predictor.batches) == [1, 2, 2]
    assert [row["seconds"] for row in rows] == [0, 0.5, 1.0, 1.5, 2.0]
    assert [row["label"] for row in rows] == ["dark"] * 3 + ["light"] * 2


def test_frames_are_rgb_and_large_ones_go_alone(tmp_path, monkeypatch):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 200), np.uint8))
    writer.release()
    red, green, blue = next(video.read_frames(path)).image.mean(axis=(0, 1))
    assert red > 150 and max(green, blue) < 40
    monkeypatch.setattr("ran_tf.images.photos.MAX_HELD_PIXELS", 48 * 64)
    assert run([path], every=0)[1].batches == [1, 1, 1]
    monkeypatch.setattr(video, "MAX_PIXELS", 48 * 64 - 1)
    with pytest.raises(ValueError, match="at most 3,071 pixels. Received: 64 x 48"):
        next(video.read_frames(path))


def test_a_broken_video_is_one_error(tmp_path):
    whole = write_video(tmp_path / "whole.avi", [200] * 40)
    for name, data in (("empty.mp4", b""), ("text.mp4", b"not a video at all " * 100)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "cut.avi").write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    image = write_image(tmp_path / "a.png", 0)
    paths = [tmp_path / name for name in ("empty.mp4", "text.mp4", "gone.mp4", "cut.avi")]
    rows, _ = run([image, *paths, image], every=0.2)
    errors = {row["path"]: row["error"] for row in rows if "error" in row}
    assert sum("error" in row for row in rows) == len(errors) == 4
    assert "not a video" in errors["empty.mp4"] and "not a video" in errors["text.mp4"]
    assert errors["gone.mp4"] == "No such file or directory"
    # What could be read was answered before.
    assert "ends too early, after" in errors["cut.avi"]
    assert any(row["path"] == "cut.avi" and row.get("label") == "light" for row in rows)
    assert [row["path"] for row in (rows[0], rows[-1])] == ["a.png", "a.png"]
    rows, _ = run([whole], align=True)
    empty = [{"path": "whole.avi", "seconds": float(i)} for i in range(4)]
    assert rows == [*empty, {"path": "whole.avi", "error": "no face was found in any of 4 frames"}]


def test_annotated_pictures(tmp_path):
    """Names that do not collide, in one folder, and never an input's."""
    out = tmp_path / "out"
    paths = [
        write_image(tmp_path / "a" / "x.jpg", 0),
        write_image(tmp_path / "b" / "x.jpg", 255),
        write_image(tmp_path / "b" / "X.png", 255),
        write_image(out / "x.jpg.png", 7),
        write_image(tmp_path / ("ü" * 120 + ".png"), 7),
        write_video(tmp_path / "clip.avi", [0] * 10),
    ]
    rows, _ = run(paths, annotate=out)
    names = [row["annotated"].removeprefix(f"{out}/") for row in rows]
    long = "ü" * 90 + ".png"
    expected = ["x.png", "x_2.png", "X_3.png", "x.jpg_2.png", long]
    assert names == [*expected, "clip_0.000s.png"]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "x.jpg.png"])
    assert decoding.read_image(out / "x.jpg.png").mean() == 7, "an input is left alone"
    dark, light = (decoding.read_image(out / name) for name in ("x.png", "x_2.png"))
    assert (dark == 0).sum() > (light == 0).sum() + 1000
    write_image(tmp_path / "photo.png", 3, size=(200, 100))
    rows, _ = run([tmp_path / "photo.png"], annotate=out, align=True)
    names = [row["annotated"].rpartition("/")[2] for row in rows]
    assert names == ["photo_face0.png", "photo_face1.png"]


def test_the_folder_of_pictures_is_not_searched(tmp_path):
    for folder in (tmp_path, tmp_path / "in" / "deep"):
        with pytest.raises(ValueError, match="`annotate` must be a folder outside.*within"):
            check_annotate(str(folder), ["a.png", str(tmp_path)])
    check_annotate(str(tmp_path.parent / "other"), [str(tmp_path)])
    check_annotate(None, [str(tmp_path)])


@pytest.fixture
def rows(tmp_path):
    photo = write_image(tmp_path / "b[red].png", 200, size=(200, 120))
    clip = write_video(tmp_path / "clip.avi", [0] * 10, size=(112, 48))
    return run([photo, clip, tmp_path / "gone.png"], align=True)[0]


OPTIONS = {"columns": make_columns(found=True)}


def test_json_of_any_number_of_rows(rows, capsys):
    for some in (rows, rows[:1], []):
        counts = predict_output.print_rows(some, [], form="json", **OPTIONS)
        printed = capsys.readouterr()
        assert json.loads(printed.out) == some
        assert counts == {"rows": len(some), "failed": int(some is rows)}
    lines = {"path": "no*", "error": "no file matches"}
    assert predict_output.print_rows(rows, [lines], form="json", **OPTIONS)["failed"] == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)[-1] == lines
    assert "no*: no file matches\n" in printed.err and "gone.png: " in printed.err


def test_the_covered_share_has_a_column_if_the_network_tells_it(capsys):
    readout = CoveredReadout(bias=0.0, slopes=(0.0, -1.0), auc=1.0)
    said = Prediction(LABELS[0], np.float32([0.9, 0.1]), np.float32([0.3, 0.7]), BOXES)
    told = dataclasses.replace(said, covered=0.35)
    plain, row = (answer_rows(one, labels=LABELS)[0] | {"path": "a"} for one in (said, told))
    assert "covered" not in plain and row["covered"] == 0.35
    columns = make_columns(found=False, covered=readout)
    predict_output.print_rows([row], [], form="csv", columns=columns)
    (cells,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert cells["covered"] == "0.35"
    predict_output.print_rows([row], [], form="table", columns=columns)
    assert "35%" in capsys.readouterr().out
    assert "covered" not in make_columns(found=False)


def test_csv(rows, capsys):
    predict_output.print_rows(rows, [], form="csv", **OPTIONS)
    first, second, frame, gone = csv.DictReader(io.StringIO(capsys.readouterr().out))
    columns = ["path", "seconds", "face", "person", "score", "label", "probability"]
    assert list(first)[:7] == columns
    assert (first["path"], first["face"], second["face"]) == ("b[red].png", "0", "1")
    assert [float(second[side]) for side in ("y0", "x0", "y1", "x1")] == [0, 100, 119, 199]
    assert float(first["p_light"]) == float(first["probability"]) > 0.5
    assert (first["w_0"], first["w_1"], first["error"], first["seconds"]) == ("0.3", "0.7", "", "")
    assert (frame["seconds"], frame["face"], frame["person"]) == ("0.0", "", "1")
    assert frame["s_light"] == frame["p_light"] and first["s_light"] == ""
    assert gone["label"] == "" and "No such file" in gone["error"]


def test_table(rows, capsys):
    predict_output.print_rows(rows, [], form="table", **OPTIONS)
    shown = capsys.readouterr()
    assert "b[red].png face 1 (x 100-199, y 0-119)" in shown.out
    assert "clip.avi at 0.00 s person 1 (x 0-99" in shown.out
    assert "top left 75% (70% of the weight)" in shown.out
    assert "gone" not in shown.out and "gone.png: " in shown.err


def test_a_name_that_is_no_utf8_is_answered_and_kept(tmp_path, monkeypatch):
    name = os.fsdecode(b"Jos\xe9")
    clip = write_video(tmp_path / "clip.avi", [0] * 3).rename(tmp_path / f"{name}.avi")
    photo = write_image(tmp_path / f"{name}.png", 200)
    rows = list(ran_tf.predict_files(Brightness(), [photo, clip], annotate=tmp_path / "o"))
    drawn = sorted(os.listdir(os.fsencode(tmp_path / "o")))
    assert drawn == [b"Jos\xe9.png", b"Jos\xe9_0.000s.png"]
    printed = {}
    for form in ("json", "csv", "table"):
        screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
        monkeypatch.setattr(sys, "stdout", screen)
        predict_output.print_rows(rows, [], form=form, **OPTIONS)
        screen.flush()
        printed[form] = screen.buffer.getvalue()
    monkeypatch.undo()
    assert json.loads(printed["json"]) == rows
    assert b"Jos\xe9.png" in printed["csv"]
    assert rb"Jos\xe9.png" in printed["table"]


@pytest.mark.parametrize(
    ("form", "encoding", "shown"),
    [
        ("table", "ascii", rb"caf\xe9.png"),
        ("table", "utf-8", "caf\u00e9.png".encode()),
        # For programs: the name that opens the file.
        ("csv", "latin-1", "caf\u00e9.png".encode()),
    ],
)
def test_a_name_that_the_output_cannot_show_is_spelt_out_in_the_table_alone(encoding, shown, form):
    code = (
        "from ran_tf.launch import predict_output as o; "
        "columns = dict.fromkeys(['path', 'label', 'w_0'], str); row = {'path': 'caf\\u00e9.png', "
        "'label': 'a', 'probability': 1.0, 'heaviest_region': 'whole face', 'weights': [1.0]}; "
        f"o.print_rows([row], [], form={form!r}, columns=columns)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert shown in done.stdout
