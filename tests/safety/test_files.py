"""Files appear whole or not at all, and folders are searched alike by every command."""

import os
import subprocess
import sys

import pytest

import ran_tf
from ran_tf.config import TrainConfig
from ran_tf.images import photos
from ran_tf.launch import benchmark, evaluate, predict
from ran_tf.safety import files


@pytest.mark.parametrize("name", ["a.weights.h5", "2020." + "x" * 240 + ".png", "é" * 120 + ".jpg"])
def test_any_legal_name_can_be_written(tmp_path, name):
    with files.atomic_path(tmp_path / name) as partial:
        partial.write_text("whole")
        assert partial.name.endswith("".join((tmp_path / name).suffixes)[-4:])
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_fails_leaves_nothing(tmp_path):
    files.write_text(tmp_path / "a.txt", "before")
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_search_finds_visible_files(tmp_path):
    names = ("b.PNG", "a.jpg", "more/c.png", "a.png/d.jpeg", "._a.png", ".x/a.png", "out/e.png")
    for name in (*names, "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "more" / "up").symlink_to(tmp_path, target_is_directory=True)
    found = photos.find_files(tmp_path, exclude=tmp_path / "out").files
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.jpg",
        os.path.join("a.png", "d.jpeg"),
        "b.PNG",
        os.path.join("more", "c.png"),
    ]
    with_notes = photos.find_files(tmp_path, also=lambda path: path.suffix == ".txt").files
    assert tmp_path / "notes.txt" in with_notes and tmp_path / "a.jpg" in with_notes
    with pytest.raises(FileNotFoundError):
        photos.find_files(tmp_path / "gone")


def test_what_a_search_leaves_out_is_counted(tmp_path):
    png = b"\x89PNG\r\n\x1a\n"
    for name, head in (
        ("Aaron.Eckhart_0001", b"\xff\xd8\xff"),
        ("b", png),
        ("c.avi_", b"RIFF....AVI LIST"),
        ("d.txt", b""),
        ("d.HEIC", b"\0\0\0\x24ftypheic"),
        ("e.jpg", b"no image, which its reader says"),
        ("f.heif", b"\0\0\0\x24ftypmif1"),
    ):
        (tmp_path / name).write_bytes(head)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_nothing").symlink_to("gone")
    (tmp_path / "to_nothing.jfif").symlink_to("gone")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "up").symlink_to("..")
    found = photos.find_files(tmp_path)
    names = ["Aaron.Eckhart_0001", "b", "e.jpg", "to_nothing.jfif"]
    assert [path.name for path in found.files] == names
    heic = next(reason for reason in found.left_out if reason.startswith("HEIC (save it as JPEG"))
    assert found.left_out == {
        heic: 2,
        "of another kind": 2,
        "pipe, device or socket": 2,
        "broken link": 1,
        "link to a folder": 1,
    }
    assert f"2 {heic}" in photos.describe_left_out(found.left_out)


def test_a_folder_is_tried_before_it_is_needed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    for good in (tmp_path, "there", "new", "new/er", "gone/../../new", "~"):
        files.check_folder("out", good)
    for bad in ("file", "file/in", "there/" + "x" * 300, "/proc/ran_tf", "~nobody_here/x"):
        with pytest.raises(ValueError, match="`out` must be a folder that can be.*Received"):
            files.check_folder("out", bad)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("out", lambda out: evaluate.evaluate("no model", out=out, command="")),
        ("out", lambda out: ran_tf.ablate(TrainConfig(), out)),
        ("path", lambda out: ran_tf.save_to_preset("no run", out / "x")),
    ],
)
def test_where_to_write_is_tried_before_the_work(tmp_path, name, run):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"`{name}` must be a folder.*Not a directory"):
        run(tmp_path / "file" / "report")


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (benchmark, ["--suite=crop", "--out=file/x.json"], "`out` must be a folder"),
        (benchmark, ["--suite=crop", "--out=."], "--out must be a file. Received: --out=."),
        (predict, ["--model=no_model", "--annotate=file"], "`annotate` must be a folder"),
    ],
)
def test_commands_try_where_they_write(tmp_path, monkeypatch, parse, module, arguments, message):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    parse(*arguments, command=module)
    with pytest.raises(ValueError, match=message):
        module.main(["x.png"]) if module is predict else module.main()


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path):
    kill = (
        "import os, sys; from ran_tf.safety import files\n"
        "with files.partial_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'x').write_text('x')\n"
        "    with files.atomic_path(sys.argv[1] + '/report.md') as file:\n"
        "        os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", kill, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(".partial-*"))) == 2
    (tmp_path / ".partial-dir").mkdir()  # rsync's
    with files.atomic_path(tmp_path / "a.md") as file, files.partial_folder(tmp_path) as folder:
        files.check_folder("out", tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == {
            ".partial-dir",
            file.parent.name,
            folder.name,
        }
    assert {p.name for p in tmp_path.iterdir()} == {".partial-dir", "a.md"}
