"""Files appear whole or not at all, and folders are searched alike by every command."""

import os

import pytest

from ran_tf import files, images


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
    found = images.find_files(tmp_path, exclude=tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.jpg",
        os.path.join("a.png", "d.jpeg"),
        "b.PNG",
        os.path.join("more", "c.png"),
    ]
    assert images.find_files(tmp_path, suffixes=(".txt",)) == [tmp_path / "notes.txt"]
    with pytest.raises(FileNotFoundError):
        images.find_files(tmp_path / "gone")
