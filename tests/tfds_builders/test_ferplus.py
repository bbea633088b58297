"""FERPlus: the protocol, both layouts, and what is said where the files are wrong."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf.vocabulary import LABELS, OCCLUSIONS
from tests.fixtures import builds, ferplus_files
from tests.fixtures.builds import edit
from tests.fixtures.real_data import require
from tfds_builders.ferplus import source, votes
from tfds_builders.reading import conditions, ran_lists

#: Test faces that show what is written here, by looking at them: no column order is assumed.
_LOOKED_AT = {
    "neutral": "fer0032232",
    "happiness": "fer0032227",
    "surprise": "fer0032287",
    "sadness": "fer0032363",
    "anger": "fer0032285",
    "disgust": "fer0032602",
    "fear": "fer0033525",
    "contempt": "fer0033988",
}
_KEPT = {name: label for _, name, _, label in ferplus_files.FACES if label is not None}
_AMBIGUOUS = {"fer0000000": 0, "fer0000002": 1}


@pytest.mark.parametrize(("_usage", "_name", "counts", "label"), ferplus_files.FACES)
def test_majority_is_the_published_protocol(_usage, _name, counts, label):
    assert votes.majority(counts) == label


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        # Single votes, unknown and no face are left out.
        ((6, 0, 1, 2, 0, 0, 0, 0, 1, 0), (0.75, 0, 0, 0.25, 0, 0, 0, 0)),
        ((6, 0, 0, 0, 0, 0, 2, 0, 2, 0), (0.75, 0, 0, 0, 0, 0, 0.25, 0)),
        # Of an ambiguous face all votes for emotions count.
        ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), (0.4, 0, 0, 0.1, 0.3, 0.2, 0, 0)),
        ((1, 1, 1, 1, 1, 0, 0, 0, 1, 4), (0.2, 0.2, 0.2, 0.2, 0.2, 0, 0, 0)),
    ],
)
def test_votes_that_count(counts, shares):
    np.testing.assert_allclose(votes.distribution(counts), shares)


@pytest.mark.parametrize(
    ("counts", "ambiguous"),
    [
        ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), True),
        ((1, 1, 1, 1, 1, 0, 0, 0, 1, 4), True),  # half of the votes
        ((1, 1, 1, 1, 0, 0, 0, 0, 1, 5), False),  # less
        ((0, 0, 0, 0, 0, 0, 0, 0, 5, 5), False),
        ((6, 0, 1, 1, 0, 0, 0, 0, 2, 0), False),  # a majority
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 0), False),
    ],
)
def test_ambiguous_faces_are_of_emotions_and_have_no_majority(counts, ambiguous):
    assert votes.ambiguous(counts) == ambiguous


@pytest.mark.parametrize("layout", ["folders", "tables"])
@pytest.mark.parametrize("config", ["majority", "votes"])
def test_both_layouts_give_the_faces_with_a_majority(tmp_path, caplog, layout, config):
    write = ferplus_files.write_folders if layout == "folders" else ferplus_files.write_tables
    raw = write(tmp_path / "raw")
    ferplus_files.write_lists(tmp_path / "ran_lists" / "FERplus_dir")
    with caplog.at_level("INFO", logger="absl"):
        builder = builds.build(f"ferplus/{config}", raw, tmp_path / "out")
    found = builds.examples(builder)

    assert {name: face["label"] for name, face in found.items()} == _KEPT | _AMBIGUOUS
    assert {name: face["split"] for name, face in found.items()} == {
        "fer0000000": "ambiguous",
        "fer0000001": "train",
        "fer0000002": "ambiguous",
        "fer0000003": "train",
        "fer0028638": "validation",
        "fer0032220": "test",
        "fer0032222": "test",
        "fer0032224": "test",
    }
    for name, face in found.items():
        np.testing.assert_array_equal(face["image"][:, :, 0], ferplus_files.pixels(name))
        assert np.isnan(face["landmarks"]).all()
    np.testing.assert_allclose(
        found["fer0000002"]["votes"], [0, 0.8, 0, 0, 0, 0.2, 0, 0], rtol=1e-6
    )
    np.testing.assert_allclose(found["fer0028638"]["votes"], [0, 0, 0, 0, 0, 0, 0.8, 0.2])
    np.testing.assert_allclose(found["fer0032224"]["votes"], [0, 0, 0, 1, 0, 0, 0, 0])

    flags = {name: (f["occlusion"], f["pose_30"], f["pose_45"]) for name, f in found.items()}
    lower, glasses = OCCLUSIONS.index("lower"), OCCLUSIONS.index("glasses")
    assert {name: flag for name, flag in flags.items() if any(flag)} == {
        "fer0032220": (lower, False, False),
        "fer0032222": (glasses, True, False),
        "fer0032224": (0, True, True),
    }

    protocol = "label.csv" if layout == "folders" else "fer2013new.csv"
    reread = tfds.builder(f"ferplus/{config}", data_dir=tmp_path / "out").info
    assert reread.metadata["protocol"] == protocol
    assert reread.metadata["subsets"] == {"occlusion": 2, "pose_30": 2, "pose_45": 1}
    assert reread.supervised_keys == ("image", "votes" if config == "votes" else "label")
    assert f"votes of {protocol}" in caplog.text


def test_tables_of_another_round_may_disagree_with_the_lists(tmp_path):
    raw = ferplus_files.write_lists(ferplus_files.write_tables(tmp_path / "raw"))
    edit(raw / "fer2013new.csv", "0,0,0,0,10,0,0,0,0,0", "0,0,0,0,4,0,4,0,2,0")  # no majority now
    builder = builds.build("ferplus", raw, tmp_path / "out")
    assert builder.info.splits["test"].num_examples == 2
    assert builder.info.metadata["subsets"] == {"occlusion": 1, "pose_30": 1, "pose_45": 1}


def test_without_an_ambiguous_face_there_is_no_such_split(tmp_path):
    raw = ferplus_files.write_lists(ferplus_files.write_folders(tmp_path / "raw"))
    for row, agreed in (("4,0,0,1,3,2,0,0,0,0", "9,0,0,1"), ("0,4,0,0,0,1,0,0,4,0", "0,9,0,1")):
        edit(raw / "FER2013Train" / "label.csv", row, f"{agreed},0,0,0,0,0,0")
    builder = builds.build("ferplus", raw, tmp_path / "out")
    assert set(builder.info.splits) == {"train", "validation", "test"}


def drop_last_row(path):
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:-1]))


TRAIN, TEST = "FER2013Train", "FER2013Test"
OCCLUSION, POSE = "jianfei_occlusion_list.txt", "pose_30_ferplus_list.txt"
MISTAKES = {
    "a folder is missing": (
        lambda raw: shutil.rmtree(raw / "FER2013Valid"),
        r"holds FER2013Train, FER2013Test but not FER2013Valid: put it beside.*manual_dir=",
    ),
    "no layout at all": (
        lambda raw: [shutil.rmtree(raw / name) for name in ferplus_files.FOLDERS.values()],
        r"holds no FERPlus: expected the folders FER2013Train.*manual_dir=",
    ),
    "no label file": (
        lambda raw: (raw / TRAIN / "label.csv").unlink(),
        r"FER2013Train/label\.csv is missing: it comes with FERPlus.*manual_dir=",
    ),
    "a row with a column too few": (
        lambda raw: edit(raw / TRAIN / "label.csv", "6,0,1,1,0,0,0,0,2,0", "6,0,1,1,0,0,0,0,2"),
        r"FER2013Train/label\.csv, row 2: has 11 columns, expected 12: get it again.*row=",
    ),
    "a vote that is no number": (
        lambda raw: edit(raw / TEST / "label.csv", "0,0,0,0,2,1,0,7", "0,0,0,0,2,1,0,x"),
        r"FER2013Test/label\.csv, row 1: must give 10 vote counts \(neutral, happiness.*Received",
    ),
    "a row that names no image": (
        lambda raw: (raw / TRAIN / "fer0000001.png").unlink(),
        r"FER2013Train/label\.csv, row 2: names an image that is not in .*put the images.*0001",
    ),
    "a face given twice": (
        lambda raw: edit(raw / TRAIN / "label.csv", "fer0000002.png", "fer0000001.png"),
        r"label\.csv, row 3: repeats fer0000001 of .*label\.csv, row 2: delete one",
    ),
    "an image that does not decode": (
        lambda raw: (raw / TEST / "fer0032222.png").write_bytes(b"\x89PNG\r\n"),
        r"fer0032222\.png \(named by .*label\.csv, row 2\) does not decode.*Received: .*6 bytes",
    ),
    "an image of another size": (
        lambda raw: ferplus_files.cv2.imwrite(
            str(raw / TEST / "fer0032224.png"), np.zeros((100, 100), np.uint8)
        ),
        r"fer0032224\.png \(named by .*\) must be 48x48 .*Received: shape=\(100, 100\)",
    ),
    "vote columns in another order": (
        lambda raw: edit(raw / TEST / "label.csv", "0,0,0,0,2,1,0,7", "7,0,0,0,2,1,0,0"),
        r"occlusion_list\.txt, row 1: gives fer0032220 the label 7 \(contempt\), .*"
        r"FER2013Test/label\.csv, row 1 gives 0 \(neutral\), .*Received: votes=",
    ),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", " , ,\n"])
def test_a_blank_last_line_is_no_row(tmp_path, end):
    for write in (ferplus_files.write_folders, ferplus_files.write_tables):
        sound, blank = (write(tmp_path / write.__name__ / name) for name in ("sound", "blank"))
        for path in blank.rglob("*.csv"):
            path.write_text(path.read_text() + end, newline="")
        assert described(blank) == described(sound)


def test_columns_of_tables_go_by_name(tmp_path):
    sound, other = (ferplus_files.write_tables(tmp_path / name) for name in ("sound", "other"))
    # Kaggle's second table of the same faces.
    reorder(other / "fer2013.csv", [0, 2, 1], header="emotion, Usage, pixels")
    (other / "fer2013.csv").rename(other / "icml_face_data.csv")
    reorder(other / "fer2013new.csv", [1, 11, *range(2, 11), 0])
    assert described(other) == described(sound)


def reorder(path, columns, *, header=None):
    rows = [[row.split(",")[i] for i in columns] for row in path.read_text().splitlines()]
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join([header or lines[0], *lines[1:]]) + "\n")


def described(raw):
    """What is read of every face but where it is from."""
    return [
        (face.id, face.split, face.votes, face.pixels().tobytes())
        for face in source.read_faces(raw)[1]
    ]


TABLE_MISTAKES = {
    "one of the two": (
        lambda raw: (raw / "fer2013.csv").unlink(),
        r"holds fer2013new\.csv but not fer2013\.csv: put it beside",
    ),
    "a column missing": (
        lambda raw: edit(raw / "fer2013new.csv", "anger,disgust", "anger,contempt"),
        r"fer2013new\.csv, row 1: the header lacks disgust: use the file as published.*Received",
    ),
    "a column twice": (
        lambda raw: edit(raw / "fer2013.csv", "emotion,pixels", "pixels,pixels"),
        r"fer2013\.csv, row 1: the header has twice pixels: use the file as published.*Received",
    ),
    "rows cut off": (
        lambda raw: drop_last_row(raw / "fer2013new.csv"),
        r"fer2013new\.csv ends before .*fer2013\.csv, row 13, .*get the shorter file again",
    ),
    "rows sorted": (
        lambda raw: edit(raw / "fer2013new.csv", "PublicTest", "Training"),
        r"fer2013new\.csv, row 6: it and .*fer2013\.csv, row 6 must have the same Usage",
    ),
    "pixels cut off": (
        lambda raw: edit(
            raw / "fer2013.csv", "0," + str(ferplus_files.pixels("fer0000000")[0, 0]), "0,"
        ),
        r"fer2013\.csv, row 2: must give 2304 grey values.*Received: 2303 values",
    ),
}


@pytest.mark.parametrize("mistake", [*MISTAKES, *TABLE_MISTAKES])
def test_a_mistake_in_the_files_is_named_and_leaves_no_dataset(tmp_path, mistake):
    spoil, message = (MISTAKES | TABLE_MISTAKES)[mistake]
    write = ferplus_files.write_folders if mistake in MISTAKES else ferplus_files.write_tables
    raw = ferplus_files.write_lists(write(tmp_path / "raw"))
    spoil(raw)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        builds.build("ferplus", raw, tmp_path / "out")
    builds.assert_nothing_built("ferplus", tmp_path / "out")


def test_without_lists_and_network_the_error_says_where_to_put_them(tmp_path, monkeypatch):
    def offline(manager, urls):
        raise ConnectionError(f"no route to {sorted(urls)}")

    monkeypatch.setattr(tfds.download.DownloadManager, "download", offline)
    raw = ferplus_files.write_folders(tmp_path / "raw")
    ferplus_files.write_lists(raw)
    (raw / POSE).unlink()
    with pytest.raises(
        match=r"\(pose_30_ferplus_list\.txt\) are not in .*raw and .* get them by hand from "
        r"https://github\.com/.*Received: ConnectionError: no route to \['pose_30'\]",
    ):
        builds.build("ferplus", raw, tmp_path / "out")
    builds.assert_nothing_built("ferplus", tmp_path / "out")


def test_missing_lists_are_downloaded_from_the_authors(tmp_path, monkeypatch):
    raw = ferplus_files.write_folders(tmp_path / "raw")
    lists = ferplus_files.write_lists(tmp_path / "elsewhere")
    asked = {}

    def download(manager, urls):
        asked.update(urls)
        return {condition: lists / url.rsplit("/", 1)[1] for condition, url in urls.items()}

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    builder = builds.build("ferplus", raw, tmp_path / "out")
    assert builder.info.metadata["subsets"] == {"occlusion": 2, "pose_30": 2, "pose_45": 1}
    # Each has a checksum, so a file that is not the published one is refused.
    assert set(asked.values()) == set(builder.url_infos)


def test_the_published_files_give_the_published_counts():
    protocol, faces = source.read_faces(require("ferplus"))
    assert protocol == "label.csv"
    kept = [face for face in faces if votes.majority(face.votes) is not None]
    splits = [face.split for face in kept]
    assert [splits.count(split) for split in source.FOLDERS] == [25045, 3191, 3137]
    assert sum(f.split == "train" and votes.ambiguous(f.votes) for f in faces) == 3491

    lists = require("ran_lists")
    test_labels = {f.id: votes.majority(f.votes) for f in kept if f.split == "test"}
    for file in ran_lists.FERPLUS_LISTS.values():
        rows = conditions.read_list(file, path=lists / file.folder / file.name)
        assert len(rows) == file.published
        assert {row.id: row.label for row in rows}.items() <= test_labels.items()
    for emotion, name in _LOOKED_AT.items():
        assert LABELS["ferplus"][test_labels[name]] == emotion
