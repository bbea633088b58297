"""Photos through Apache Beam, on a predictor whose answers are known, and once by the command."""

import glob
import os
import pathlib
import subprocess
import sys

import pytest
from pyarrow import parquet

import ran_tf
from ran_tf.images import decoding
from ran_tf.inference.prediction import Failure
from tests.inference.test_predict_files import Brightness, make_columns, write_image

pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install '.[beam]'")

from ran_tf.inference import beam

ROOT = pathlib.Path(__file__).parents[2]


class Photos(Brightness):
    """As its base, on bytes."""

    def _answer(self, item, answer):
        if item == b"crash":
            raise RuntimeError("the network is gone")
        try:
            pixels = decoding.decode_image(item) if isinstance(item, bytes) else item
        except ValueError as error:
            return Failure(str(error))
        return super()._answer(pixels, answer)


class Handler(beam.PhotoHandler):
    """Loads no network."""

    def __init__(self):
        super().__init__("face_faceres_ferplus", batch_size=3)
        self.columns = make_columns(found=True)

    def load_model(self):
        return Photos()


def read(pattern) -> list[dict]:
    rows = [
        row for path in sorted(glob.glob(pattern)) for row in parquet.read_table(path).to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["path"], row.get("face") or 0))


def write_photos(folder) -> None:
    """Twenty photos of one or two faces in two folders; five without, two damaged."""
    for i in range(20):
        write_image(folder / "ab"[i % 2] / f"{i}.png", 10 * i, size=(110 + 100 * (i % 3 > 1), 100))
    for i in range(5):
        write_image(folder / f"nobody{i}.png", 10 * i, size=(40, 40))
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "a" / "empty.png").write_bytes(b"")


def test_every_photo_is_answered_for_once_as_predict_does(tmp_path):
    write_photos(tmp_path / "in")
    options = ["--runner=DirectRunner", "--direct_num_workers=3"]
    options.append("--direct_running_mode=multi_threading")
    beam.run(f"{tmp_path}/in/**", f"{tmp_path}/out/faces", handler=Handler(), options=options)
    paths = sorted(path for path in (tmp_path / "in").rglob("*.png"))
    want = list(ran_tf.predict_files(Photos(), paths, align=True))
    rows, failures = read(f"{tmp_path}/out/faces-0*"), read(f"{tmp_path}/out/faces-failures-*")
    assert {(row["path"], row["face"]): row["label"] for row in rows} == {
        (row["path"], row["face"]): row["label"] for row in want if "error" not in row
    }
    assert len(rows) == 26
    assert rows[0]["y1"] == 99 and rows[0]["w_1"] == pytest.approx(0.7)
    assert [row["path"] for row in failures] == [row["path"] for row in want if "error" in row]
    reasons = {pathlib.Path(row["path"]).name: row["error"] for row in failures}
    assert reasons["nobody0.png"] == "no face was found" and "not an image" in reasons["bad.png"]


def test_a_batch_that_a_worker_fails_on_is_named_and_the_others_go_on(tmp_path):
    for i in range(4):
        write_image(tmp_path / f"{i}.png", 250, size=(110, 100))
    (tmp_path / "crash.png").write_bytes(b"crash")
    (tmp_path / "gone.png").symlink_to("nowhere")
    beam.run(f"{tmp_path}/*.png", f"{tmp_path}/out/faces", handler=Handler())
    rows, failures = read(f"{tmp_path}/out/faces-0*"), read(f"{tmp_path}/out/faces-failures-*")
    assert {row["path"] for row in [*rows, *failures]} >= {f"{tmp_path}/{i}.png" for i in range(4)}
    assert len(rows) + len(failures) in (5, 6)
    (crashed,) = (row for row in failures if row["path"].endswith("crash.png"))
    assert "the network is gone" in crashed["error"]


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="`input` must match files"):
        beam.run(f"{tmp_path}/*.png", f"{tmp_path}/out", handler=Handler())


@pytest.mark.large
def test_the_command_says_what_predict_says(tmp_path):
    """With processes as workers, and a packaged network."""
    import skimage.data
    from PIL import Image

    photo = Image.fromarray(skimage.data.astronaut())
    (tmp_path / "in" / "deep").mkdir(parents=True)
    photo.save(tmp_path / "in" / "a.jpg")
    photo.crop((100, 0, 400, 300)).save(tmp_path / "in" / "deep" / "b.png")
    two = Image.new("RGB", (1024, 512))
    two.paste(photo, (0, 0))
    two.paste(photo, (512, 0))
    two.save(tmp_path / "in" / "two.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")

    def run(command, *arguments) -> int:
        return subprocess.run(
            [sys.executable, "-m", f"ran_tf.launch.{command}", "--align", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).returncode

    model = "--model=ran_faceres_shared_ferplus"
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    piped = [f"--input={tmp_path}/in/**", f"--output={tmp_path}/out/faces", model, "--", *workers]
    assert run("predict_beam", *piped) == 0
    assert run("predict", model, f"--parquet={tmp_path}/plain.parquet", f"{tmp_path}/in") == 1
    rows, plain = read(f"{tmp_path}/out/faces-0*"), read(f"{tmp_path}/plain.parquet")
    (bad,) = (row for row in plain if row["error"])
    assert read(f"{tmp_path}/out/faces-failures-*") == [
        {"path": bad["path"], "error": bad["error"]},
    ]
    plain.remove(bad)
    assert len(rows) == 4
    for row, want in zip(rows, plain, strict=True):
        assert row == {
            name: pytest.approx(value, abs=2e-3, rel=1e-4) if isinstance(value, float) else value
            for name, value in want.items()
        }
