"""`ran_tf.launch.align`: folders of photos, and what goes wrong in them."""

import dataclasses
import fcntl
import os

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from ran_tf.faces import Face, mtcnn_search
from ran_tf.faces import align as align_lib
from ran_tf.faces.detect import DetectorConfig
from ran_tf.faces.folder import align_folder
from ran_tf.faces.journal import JOURNAL
from ran_tf.faces.worker import AlignConfig
from ran_tf.launch import align as align_command
from ran_tf.launch import flags as launch_flags
from tests.fixtures.align_files import (
    COLUMNS,
    COUNT,
    TIGHT,
    points,
    read_rows,
    write,
    write_tight_faces,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """What a folder of photos holds, and should not."""
    folder = tmp_path_factory.mktemp("photos")
    face = skimage.data.astronaut()[:256, 96:352]
    small = cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA)
    two = np.full((256, 512, 3), 128, np.uint8)
    two[:, 20:276], two[64:192, 340:468] = face, small
    write(folder / "one.png", face)
    write(folder / "two.png", two)
    write(folder / "none.jpg", np.full((60, 80, 3), 90, np.uint8))
    write(folder / "happy" / "größe 1.JPG", face)
    cv2.imwrite(str(folder / "happy" / "grey.png"), face[..., 1])
    whole = (folder / "happy" / "größe 1.JPG").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.png").with_stem("cut2").write_bytes((folder / "one.png").read_bytes()[:9000])
    (folder / "text.png").write_text("no image")
    (folder / "empty.bmp").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_folder_of_photos(photos, tmp_path):
    config = AlignConfig(size=96, margin=0.1, drop=0.15)
    summary = align_folder(input_dir=photos, output_dir=tmp_path, config=config)
    report = {row["path"]: row for row in read_rows(tmp_path / "report.csv")}
    assert {path: (row["status"], int(row["faces"])) for path, row in report.items()} == {
        "one.png": ("ok", 1),
        "two.png": ("ok", 2),
        "none.jpg": ("no_face", 0),
        "happy/größe 1.JPG": ("ok", 1),
        "happy/grey.png": ("ok", 1),
        "cut.jpg": ("unreadable", 0),
        "cut2.png": ("unreadable", 0),
        "text.png": ("unreadable", 0),
        "empty.bmp": ("unreadable", 0),
    }
    assert "ends too early" in report["cut.jpg"]["note"]
    assert report["two.png"]["note"] == "took the largest"
    assert (summary.images, summary.faces, summary.many) == (9, 4, 1)
    assert "1 with many, 4 unreadable" in str(summary)

    rows = read_rows(tmp_path / "landmarks.csv")
    assert list(rows[0]) == ["id", "path", *COLUMNS]
    assert [(row["id"], row["path"]) for row in rows] == [
        (name, f"{name}.png") for name in ("happy/grey", "happy/größe 1", "one", "two")
    ]
    template = (align_lib.TEMPLATE + np.array([0.1, 0.1 - 0.15])) / 1.2
    for row in rows:
        image = cv2.imdecode(np.fromfile(tmp_path / row["path"], np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (96, 96, 3)
        np.testing.assert_allclose(points(row), template, atol=0.05)
    # One face, cut from photos of other sizes and formats; colours in their order.
    aligned = [cv2.imread(str(tmp_path / x)).astype(float) for x in ("one.png", "two.png")]
    assert np.corrcoef(aligned[0].ravel(), aligned[1].ravel())[0, 1] > 0.95
    assert aligned[0][60, 48, 2] > aligned[0][60, 48, 0] + 30  # skin: more red than blue


def test_no_face_and_many_faces_as_asked(photos, tmp_path):
    config = AlignConfig(no_face="keep", many_faces="all", format="jpg")
    align_folder(input_dir=photos, output_dir=tmp_path / "a", config=config)
    rows = {row["id"]: row for row in read_rows(tmp_path / "a" / "landmarks.csv")}
    assert {"none", "two_face0", "two_face1", "one"} <= set(rows) and "two" not in rows
    assert np.isnan(points(rows["none"])).all()
    kept = cv2.imread(str(tmp_path / "a" / "none.jpg"))
    assert kept.shape == (224, 224, 3) and np.abs(kept.astype(int) - 90).max() < 3

    config = AlignConfig(many_faces="skip")
    align_folder(input_dir=photos, output_dir=tmp_path / "b", config=config)
    report = {row["path"]: row["status"] for row in read_rows(tmp_path / "b" / "report.csv")}
    assert report["two.png"] == "many_faces" and report["none.jpg"] == "no_face"
    assert not (tmp_path / "b" / "two.png").exists()
    assert not (tmp_path / "b" / "none.png").exists()

    # The one nearest to the centre is the smaller one here.
    crop = tmp_path / "c"
    photo = cv2.imread(str(photos / "two.png"))[..., ::-1]
    write(crop / "two.png", np.concatenate([photo, np.full((256, 300, 3), 128, np.uint8)], axis=1))
    for out, choose in (("d", "centre"), ("e", "largest")):
        config = AlignConfig(
            detector=DetectorConfig(min_face=0.1), landmarks_only=True, choose=choose
        )
        align_folder(input_dir=crop, output_dir=tmp_path / out, config=config)
    centre, largest = (read_rows(tmp_path / x / "landmarks.csv")[0] for x in "de")
    assert points(largest)[:, 0].max() < 276 / 812 < 340 / 812 < points(centre)[:, 0].min()


@pytest.fixture(scope="module")
def tight_faces(tmp_path_factory):
    return write_tight_faces(tmp_path_factory.mktemp("tight"))


def test_landmarks_of_a_dataset(tight_faces, tmp_path):
    config = AlignConfig(
        detector=dataclasses.replace(TIGHT, retry_mirrored=True), landmarks_only=True
    )
    summary = align_folder(input_dir=tight_faces, output_dir=tmp_path, config=config)
    lines = (tmp_path / "landmarks.csv").read_text().splitlines()
    assert lines[0] == ",".join(["id", *COLUMNS])
    assert len(lines) == COUNT + 1 and lines[1].startswith("fer0000000,")
    assert summary.faces > 0.95 * COUNT
    assert sorted(x.name for x in tmp_path.iterdir()) == [JOURNAL, "landmarks.csv", "report.csv"]
    values = np.array([points(row) for row in read_rows(tmp_path / "landmarks.csv")])
    # The eyes are a third of the crop apart, the image-left one first.
    assert np.nanmax(values) <= 1 and np.nanmin(values) >= 0
    np.testing.assert_allclose(
        np.nanmedian(values[:, 1] - values[:, 0], axis=0)[0], 0.35, atol=0.05
    )


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """Two photos, and a detector that finds a face in every photo at once."""
    folder = tmp_path / "flat"
    for name in ("a.png", "b.png"):
        write(folder / name, np.full((40, 40, 3), 90, np.uint8))
    seen = []
    face = Face(np.array([5, 5, 35, 35], np.float32), 0.9, align_lib.TEMPLATE * 40 - 0.5)

    def search(images, min_sides):
        seen.extend(images)
        return [[face]] * len(images)

    monkeypatch.setattr("ran_tf.faces.mtcnn_search.create_search", lambda *_, **__: search)
    return folder, seen


CONFIG = AlignConfig(detector=DetectorConfig(name="mtcnn"), size=32)


def test_the_flags_say_what_is_made(flat, tmp_path, parse, capsys):
    given = AlignConfig(
        detector=DetectorConfig(
            name="mtcnn",
            weights="a.onnx",
            pad=0.25,
            min_face=0.5,
            min_score=0.7,
            max_side=900,
            retry_mirrored=True,
            turned=True,
            upscale=False,
        ),
        size=32,
        margin=0.1,
        drop=0.07,
        choose="centre",
        no_face="keep",
        many_faces="all",
        format="jpg",
    )
    settings = {**vars(given), **vars(given.detector), "detector": given.detector.name}
    settings["detector_weights"] = settings.pop("weights")
    del settings["name"]
    folder, _ = flat
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    arguments += [f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}", "--processes=1"]
    assert launch_flags.train_config(parse(*arguments, command=align_command), AlignConfig) == given
    align_command.main()
    assert (tmp_path / "out" / "a.jpg").is_file()
    assert f"wrote {tmp_path / 'out' / 'landmarks.csv'}" in capsys.readouterr().out
    places = (f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}")
    values = parse(*places, "--landmarks_only", command=align_command)
    assert launch_flags.train_config(values, AlignConfig) == AlignConfig(landmarks_only=True)


def test_what_changed_is_done_again(flat, tmp_path):
    folder, seen = flat
    out = tmp_path / "out"
    (folder / "c.png").write_text("not yet an image")
    places = {"input_dir": folder, "output_dir": out, "config": CONFIG}
    assert align_folder(**places).statuses == {"ok": 2, "unreadable": 1}
    write(folder / "c.png", np.zeros((40, 40, 3), np.uint8))
    (out / "a.png").unlink()
    seen.clear()
    summary = align_folder(**places)
    assert len(seen) == 2 and summary.resumed == 1 and summary.statuses == {"ok": 3}
    assert (out / "a.png").exists() and len(read_rows(out / "report.csv")) == 3
    # A photo that is gone is gone from the tables.
    (folder / "b.png").unlink()
    align_folder(**places)
    assert [row["id"] for row in read_rows(out / "landmarks.csv")] == ["a", "c"]


def test_the_output_may_lie_within_the_input(flat):
    folder, seen = flat
    for _ in range(2):
        summary = align_folder(input_dir=folder, output_dir=folder / "out", config=CONFIG)
    assert summary.images == 2 and len(seen) == 2


def test_a_photo_that_the_detector_fails_on_harms_no_other(flat, tmp_path, monkeypatch):
    """It is listed, and tried again by the next run."""
    folder, _ = flat
    whole = mtcnn_search.create_search()
    write(folder / "c.png", np.zeros((40, 40, 3), np.uint8))

    def search(images, min_sides):
        if any(not image.any() for image in images):
            raise RuntimeError("too\nodd")
        return whole(images, min_sides)

    places = {"input_dir": folder, "output_dir": tmp_path / "out", "config": CONFIG}
    with monkeypatch.context() as patch:
        patch.setattr("ran_tf.faces.mtcnn_search.create_search", lambda *_, **__: search)
        assert align_folder(**places).statuses == {"ok": 2, "crashed": 1}
    (row,) = (x for x in read_rows(tmp_path / "out" / "report.csv") if x["path"] == "c.png")
    assert row["note"] == "the detector failed on it: too odd"
    summary = align_folder(**places)
    assert summary.resumed == 2 and summary.statuses == {"ok": 3}


def test_photos_are_what_predict_takes_and_nothing_hidden(flat, tmp_path, monkeypatch):
    folder, _ = flat
    Image.new("P", (40, 40)).save(folder / "c.gif")
    for name in (".d.png", ".thumbnails/a.png", "sub/.git/deep/a.png"):
        write(folder / name, np.zeros((40, 40, 3), np.uint8))
    monkeypatch.setenv("HOME", str(tmp_path))
    summary = align_folder(input_dir="~/flat", output_dir="~/out", config=CONFIG)
    assert summary.statuses == {"ok": 3}
    assert [row["path"] for row in read_rows(tmp_path / "out" / "report.csv")] == [
        "a.png",
        "b.png",
        "c.gif",
    ]


def test_errors_name_the_remedy(flat, tmp_path, monkeypatch):
    folder, _ = flat
    out = tmp_path / "out"

    def fails(error, message, *, input_dir=folder, output_dir=out, config=CONFIG):
        with pytest.raises(error, match=message):
            align_folder(input_dir=input_dir, output_dir=output_dir, config=config)

    fails(FileNotFoundError, "existing folder.*input_dir=.*nowhere", input_dir=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    fails(FileNotFoundError, "must hold photos", input_dir=tmp_path / "empty")
    fails(ValueError, "must not be the input folder", output_dir=folder)
    # Settings bind only once something is done.
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    weights = tmp_path / ".deepface" / "weights" / "retinaface.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"broken")
    retinaface = AlignConfig(detector=DetectorConfig(name="retinaface"))
    fails(ValueError, "not a readable ONNX model", config=retinaface)
    align_folder(input_dir=folder, output_dir=out, config=CONFIG)
    other = AlignConfig(detector=DetectorConfig(name="mtcnn", pad=0.5), size=48)
    fails(ValueError, r"pad=0.0, size=32\).*Received: pad=0.5, size=48", config=other)
    with (out / JOURNAL).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fails(ValueError, "in use by another run")
    write(folder / "sub" / "a.png", np.zeros((9, 9, 3), np.uint8))
    landmarks = AlignConfig(detector=DetectorConfig(name="mtcnn"), landmarks_only=True)
    fails(ValueError, "same stem.*Received: a.png, sub/a.png", config=landmarks)
    write(folder / "a.jpg", np.zeros((9, 9, 3), np.uint8))
    fails(ValueError, "Received: a.jpg, a.png")
    (out / JOURNAL).write_text("{}\nnot json\n")
    (folder / "a.jpg").unlink()
    fails(ValueError, "not a journal of this version")
    with pytest.raises(ValueError, match="many_faces='all'"):
        AlignConfig(landmarks_only=True, many_faces="all")
    assert os.path.exists(out / "a.png")


def test_no_face_is_written_over_that_of_another_photo(flat, tmp_path):
    folder, _ = flat
    everyone = AlignConfig(detector=DetectorConfig(name="mtcnn"), size=32, many_faces="all")
    # Neither is what a face of `a` is called.
    for name in ("a_face00.png", "a_face.png", "c_face0.png"):
        write(folder / name, np.zeros((40, 40, 3), np.uint8))
    places = {"input_dir": folder, "output_dir": tmp_path / "out"}
    assert align_folder(**places, config=everyone).images == 5
    (folder / "sub").mkdir()
    (folder / "a.png").rename(folder / "sub" / "a.jpg")
    write(folder / "sub" / "a_face12.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=r"rename one.*Received: sub/a.jpg, sub/a_face12.png"):
        align_folder(**places, config=everyone)
    places["output_dir"] = tmp_path / "chosen"
    assert align_folder(**places, config=CONFIG).images == 6


def test_margin_and_drop_frame_the_face():
    """The square grows by the margin on every side and lies lower by the drop."""
    photo = np.zeros((200, 200, 3), np.uint8)
    landmarks = align_lib.TEMPLATE * 112 + 30 - 0.5  # an upright face of 112 pixels at 30, 30
    face = align_lib.align_face(photo, landmarks, size=60, margin=0.1, drop=0.05)
    corners = np.array([[18.8, 153.2], [24.4, 158.8], [1.5, 1.5]]) - 0.5  # x, y, 1
    np.testing.assert_allclose(face.matrix @ corners + 0.5, [[0, 60], [0, 60]], atol=1e-6)
