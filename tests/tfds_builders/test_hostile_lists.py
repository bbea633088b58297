"""Lists and tables of strange bytes: what is read is sound, or one error names the file."""

import pathlib

import numpy as np
import pytest
from hypothesis import example, given

from tests.fixtures import ferplus_files, hostile
from tfds_builders.affectnet import original
from tfds_builders.ferplus import source
from tfds_builders.raf_db import annotation
from tfds_builders.reading import conditions, landmarks, ran_lists, tables, text_files

few = hostile.hostile(60)
_TOKENS = (b"\0", b'"', b",", b"\n", b"-1", b"9" * 30, b"1_0", b"../", b"\xff")

LIST = ferplus_files.LISTS["jianfei_occlusion_list.txt"]
LANDMARKS = (
    f"id,{','.join(landmarks.COLUMNS)}\na,{','.join(['0.5'] * 10)}\nb,{','.join(['nan'] * 10)}\n"
)
AFFECTNET = (
    f"{','.join(original.COLUMNS)}\n"
    f"1/{'a' * 56}.jpg,1,2,30,40,{';'.join(['1.5;2.5'] * 68)},3,0.1,-0.2\n"
)
MANUAL = "10\t12\n20\t12\n15\t18\n11\t25\n19\t25\n0\n0\n2\n"


def damaged(text: str):
    return hostile.damaged(text.encode(), tokens=_TOKENS)


def read_or_refuse(read, path: pathlib.Path, *, sound: str):
    """What `read` says of a file; its error must name the file and say what was received."""
    try:
        return read(path)
    except ValueError as error:
        assert path.read_bytes() != sound.encode()
        assert not isinstance(error, UnicodeError)
        assert str(path) in str(error) and "Received: " in str(error)
        assert len(str(error)) < 2000
        return None


@few
@given(data=damaged(LIST))
@example(data=LIST.encode())
@example(data=b"\xff\xfe1\0_\0")
@example(data=b"1_fer0034656.png 8 7\n")
def test_an_authors_list(data, tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    file = ran_lists.FERPLUS_LISTS["occlusion"]
    for row in read_or_refuse(lambda p: conditions.read_list(file, path=p), path, sound=LIST) or ():
        assert 0 <= row.label <= 9 and row.occlusion in file.types.values()


@few
@given(data=damaged(LANDMARKS))
@example(data=LANDMARKS.encode())
@example(data=LANDMARKS.replace("0.5", "x" * 200_000, 1).encode())
@example(data=LANDMARKS.replace("0.5", "1.5", 1).encode())
def test_a_table_of_landmarks(data, tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_bytes(data)

    def read(path):
        return landmarks.load_landmarks(path, manual_dir=tmp_path, ids={"a": "a", "b": "b"})

    found = read_or_refuse(read, path, sound=LANDMARKS)
    for points in found.points.values() if found else ():
        assert points.shape == (5, 2)
        assert np.all(np.isnan(points) | ((points >= 0) & (points <= 1)))


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    return ferplus_files.write_folders(tmp_path_factory.mktemp("ferplus") / "raw")


def test_labels_of_ferplus(ferplus):
    path = ferplus / "FER2013Train" / "label.csv"
    sound = path.read_text()
    names = {p.name for p in path.parent.iterdir()}

    @few
    @given(data=damaged(sound))
    @example(data=sound.encode())
    @example(data=sound.replace(",4,", ",1_0,").encode())
    @example(data=sound.replace(",4,", f",{'9' * 5000},").encode())
    @example(data=sound.replace("fer0000000.png", "../label.csv", 1).encode())
    def check(data):
        path.write_bytes(data)
        read = read_or_refuse(lambda p: source.read_faces(ferplus), path, sound=sound)
        for face in read[1] if read else ():
            if face.split == "train":
                assert face.image.name in names and len(face.votes) == 10
                assert all(0 <= vote < 10**6 for vote in face.votes)

    check()
    path.write_text(sound)


@few
@given(data=damaged(AFFECTNET))
@example(data=AFFECTNET.encode())
@example(data=AFFECTNET.replace(",3,", ",11,").encode())
def test_a_table_of_affectnet(data, tmp_path):
    path = tmp_path / "training.csv"
    path.write_bytes(data)
    rows = original.Rows(table=path, images=tmp_path)
    assert len(rows) <= data.count(b"\n") + 1
    for row in read_or_refuse(lambda p: list(rows), path, sound=AFFECTNET) or ():
        assert 0 <= row.expression <= 10


@few
@given(data=damaged(MANUAL))
@example(data=MANUAL.encode())
@example(data=MANUAL.replace("10\t", "-10\t").encode())
def test_an_annotation_of_raf_db(data, tmp_path):
    path = tmp_path / "test_0001_manu_attri.txt"
    path.write_bytes(data)
    points = read_or_refuse(
        lambda p: annotation.read_landmarks(p, height=40, width=30), path, sound=MANUAL
    )
    if points is not None:
        assert points.shape == (5, 2) and np.all((points >= 0) & (points <= 1))


def test_what_is_too_long_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "MAX_BYTES", 10)
    path = tmp_path / "list.txt"
    path.write_bytes(b"0/fer0000001.jpg\n")
    with pytest.raises(ValueError, match="at most 10 bytes.*Received: 17 bytes"):
        conditions.read_list(ran_lists.FERPLUS_LISTS["pose_30"], path=path)


def test_rows_of_a_table_are_joined_by_their_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\ufeffid, a,b ,more\n\nx,1,2,3\n,,,\ny,4,,\n", encoding="utf-8")
    rows = tables.read_table(path, ids={"x": "x", "y": "y"}, columns=["a", "b"], remedy="-")
    assert {name: row.cells for name, row in rows.items()} == {
        "x": {"id": "x", "a": "1", "b": "2", "more": "3"},
        "y": {"id": "y", "a": "4", "b": "", "more": ""},
    }
