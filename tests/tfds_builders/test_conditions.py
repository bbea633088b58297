"""The authors' lists: found, parsed, and as published."""

import socket
import time

import pytest
import tensorflow_datasets as tfds

from ran_tf.vocabulary import OCCLUSIONS
from tests.fixtures import ferplus_files
from tfds_builders.reading import conditions, ran_lists

LISTS = ran_lists.FERPLUS_LISTS


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("occlusion", [("fer0032220", 7, "lower"), ("fer0032222", 4, "glasses")]),
        ("pose_30", [("fer0032222", 4, "none"), ("fer0032224", 3, "none")]),
    ],
)
def test_rows_give_id_label_and_type(tmp_path, condition, rows):
    ferplus_files.write_lists(tmp_path)
    name = LISTS[condition].name
    found = conditions.read_list(LISTS[condition], path=tmp_path / name)
    assert [(row.id, row.label, row.occlusion) for row in found] == rows
    assert found[1].source.endswith(f"{name}, row 2")


@pytest.mark.parametrize(
    "row",
    [
        "4/fer0032222.jpg",
        "7_fer0032220.png 8",
        "7_fer0032220.png 8 4",
        "7_fer32220.png 8 1",
        "7_fer0032220.png 8 1 1",
    ],
)
def test_a_malformed_row_is_named(tmp_path, row):
    path = tmp_path / "list.txt"
    path.write_text(f"7_fer0032220.png 8 1\r\n{row}\r\n")
    with pytest.raises(ValueError, match=r"list\.txt, row 2: .*get the file again.*Received: row="):
        conditions.read_list(LISTS["occlusion"], path=path)


def test_an_empty_list_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match=r"no rows, expected 1170.*Received: path="):
        conditions.read_list(LISTS["pose_30"], path=path)


@pytest.mark.parametrize(
    "place", ["faces", "faces/FERplus_dir", "faces/ran_lists/FERplus_dir", "ran_lists/FERplus_dir"]
)
def test_lists_are_found_in_and_beside_the_images(tmp_path, place):
    own = tmp_path / "faces"
    own.mkdir()
    assert conditions.find_lists(LISTS, manual_dir=own) == {}
    for folder in (tmp_path / place, own):  # the images' own folder wins
        ferplus_files.write_lists(folder)
        found = conditions.find_lists(LISTS, manual_dir=own)
        assert found == {condition: folder / file.name for condition, file in LISTS.items()}


def listed(face_id, label):
    return conditions.ListRow(id=face_id, label=label, occlusion="none", source=f"l.txt, {face_id}")


KNOWN = {
    name: conditions.Known(label=label, cell=f"cell={label}", source=f"t.csv, {name}")
    for name, label in {"a": 0, "b": 1, "c": None}.items()
}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"pose_30": [listed("a", 1), listed("d", 0)], "pose_45": [listed("e", 0)]},
            r"l\.txt, d: names an image .* the 3 of t\.csv: .*and 1 more like it.*Received: id='d'",
        ),
        (
            {"pose_30": [listed("a", 0), listed("b", 0)], "pose_45": [listed("a", 1)]},
            r"l\.txt, b: gives b the label 0 \(sad\), t\.csv, b gives 1 \(glad\), both counted "
            r"from zero\. .*and 1 more like it\)\. Received: cell=1",
        ),
        (
            {"pose_30": [listed("c", 7)]},
            r"gives c the label 7 \(no emotion\), t\.csv, c gives no class, .*and 0 more",
        ),
    ],
)
def test_lists_that_do_not_fit_a_dataset_are_refused(rows, message):
    dataset = {"faces": KNOWN, "emotions": ("sad", "glad"), "of": "t.csv"}
    with pytest.raises(ValueError, match=message):
        conditions.check_lists(rows, **dataset)


def test_lists_that_fit_pass():
    dataset = {"faces": KNOWN, "emotions": ("sad", "glad"), "of": "t.csv"}
    conditions.check_lists({"pose_30": [listed("a", 0)], "pose_45": [listed("b", 1)]}, **dataset)
    conditions.check_lists({"pose_30": [listed("c", 1)]}, **dataset, labels_too=False)


def test_without_a_network_the_lists_are_given_up_in_seconds(tmp_path, monkeypatch):
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(ran_lists, "_REPOSITORY", address)
        manager = tfds.download.DownloadManager(
            download_dir=tmp_path / "downloads",
            manual_dir=tmp_path,
            manual_dir_instructions="lists",
            force_checksums_validation=False,
        )
        start = time.monotonic()
        with pytest.raises(FileNotFoundError, match=r"ferplus_list\.txt\) are not in .*by hand"):
            conditions.load_lists({"pose_30": LISTS["pose_30"]}, dl_manager=manager)
    assert time.monotonic() - start < 20


def test_types_are_in_the_order_of_the_features():
    kinds = OCCLUSIONS[1:]
    ferplus, raf_db = (
        lists["occlusion"].types for lists in (ran_lists.FERPLUS_LISTS, ran_lists.RAF_DB_LISTS)
    )
    assert ferplus == dict(zip("0123", kinds, strict=True))
    assert raf_db == dict(zip("1234", kinds, strict=True))
