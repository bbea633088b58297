"""AffectNet's examples: of both releases, and joined to the authors' lists by hash."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ran_tf import vocabulary
from tests.fixtures import affectnet_files as files
from tests.fixtures.affectnet_builds import build, kept
from tests.fixtures.builds import examples
from tfds_builders.affectnet import face
from tfds_builders.affectnet import original as layout
from tfds_builders.reading import ran_lists


@pytest.fixture
def original(tmp_path):
    return files.write_lists(files.write_original(tmp_path / "raw"))


@pytest.fixture
def numbered(tmp_path):
    return files.write_numbered(tmp_path / "raw")


def test_five_landmarks_are_sorted_by_where_they_are_in_the_image():
    points = files.points(left=0, top=0, width=20, height=40)
    np.testing.assert_allclose(
        face.five_landmarks(points, width=20, height=40), files.FIVE, atol=1e-6
    )
    mirrored = np.array([20, 0]) + points * (-1, 1)
    expected = (np.array([1, 0]) + files.FIVE * (-1, 1))[[1, 0, 2, 4, 3]]
    np.testing.assert_allclose(
        face.five_landmarks(mirrored, width=20, height=40), expected, atol=1e-6
    )


@pytest.mark.parametrize("num_classes", [7, 8])
def test_the_original_release_gives_faces_cut_out_and_joined_to_the_lists(
    tmp_path, caplog, original, num_classes
):
    with caplog.at_level("INFO", logger="absl"):
        builder = build(original, tmp_path / "out", config=f"original_{num_classes}")
    for split in files.EXPRESSIONS:
        found = examples(builder, split)
        expected = {files.hashed(split, i): (i, e) for i, e in kept(split, num_classes)}
        assert {name: example["label"] for name, example in found.items()} == {
            name: expression for name, (_, expression) in expected.items()
        }
        for name, (index, _) in expected.items():
            assert_cut_out(found[name], index)
    flags = {
        condition: {n for n, e in examples(builder, "validation").items() if e[condition]}
        for condition in files.LISTED
    }
    labels = files.EXPRESSIONS["validation"]
    listed = {
        condition: {files.hashed("validation", i) for i in indices if labels[i] < num_classes}
        for condition, indices in files.LISTED.items()
    }
    assert flags == listed
    occluded = builder.info.features["occlusion"].str2int("unspecified")
    assert {e["occlusion"] for e in examples(builder, "validation").values()} == {0, occluded}
    assert tuple(builder.info.features["occlusion"].names) == vocabulary.OCCLUSION_KINDS

    metadata = tfds.builder(f"affectnet/original_{num_classes}", data_dir=tmp_path / "out").info
    metadata = metadata.metadata
    assert metadata["subsets"] == {name: len(faces) for name, faces in listed.items()}
    contempt = {"contempt": 1} if num_classes == 7 else {}
    assert metadata["left_out"] == {
        "train": contempt | {"none": 1, "uncertain": 1, "non-face": 1},
        "validation": contempt | {"none": 0, "uncertain": 0, "non-face": 1},
    }
    assert f"original_{num_classes}: train: {len(kept('train', num_classes))} faces" in caplog.text
    assert "none 1, uncertain 1, non-face 1)" in caplog.text
    published = {8: "287,651", 7: "283,901"}[num_classes]
    assert (
        f"train has {len(kept('train', num_classes))} faces, the published split {published}: "
        in (caplog.text)
    )


def assert_cut_out(example, index):
    """The box as far as it is in the image, landmarks and values of the face at `index`."""
    x, y, width, height = files.BOXES[index % 4]
    image_width, image_height = files.SIZE
    whole = files.picture(width=image_width, height=image_height, seed=index)
    box = whole[max(y, 0) : y + height, max(x, 0) : x + width, ::-1]
    assert example["image"].shape == box.shape
    assert np.abs(example["image"].astype(int) - box).mean() < 4  # JPEG twice
    points = files.FIVE * (width, height) + (x, y) - (max(x, 0), max(y, 0))
    np.testing.assert_allclose(
        example["landmarks"], points / (box.shape[1], box.shape[0]), atol=2e-3
    )
    np.testing.assert_allclose(example["valence"], files.valence(index), rtol=1e-6)
    np.testing.assert_allclose(example["arousal"], files.arousal(index), rtol=1e-6)


def test_tables_and_images_are_found_where_users_have_them(tmp_path, original):
    for table in files.TABLES.values():
        (original / "Manually_Annotated_file_lists" / table).rename(original / table)
    (original / "Manually_Annotated").mkdir()
    images = original / "Manually_Annotated_Images"
    images.rename(original / "Manually_Annotated" / images.name)
    builder = build(original, tmp_path / "out", config="original_8")
    assert builder.info.splits["train"].num_examples == 5


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_a_table_knows_its_length_with_and_without_header(original, end):
    for split, rows in layout.find_splits(original).items():
        rows.table.write_text(rows.table.read_text().rstrip() + end)
        assert len(rows) == len(list(rows)) == len(files.EXPRESSIONS[split])


@pytest.mark.parametrize("num_classes", [7, 8])
def test_the_numbered_release_has_no_subsets_and_says_so(tmp_path, caplog, numbered, num_classes):
    files.write_lists(numbered)  # even where the lists are there: they name other files
    with caplog.at_level("INFO", logger="absl"):
        builder = build(numbered, tmp_path / "out", config=f"numbered_{num_classes}")
    for split, folder in files.FOLDERS.items():
        found = examples(builder, split)
        expected = {f"{folder}/{i}": (i, e) for i, e in kept(split, num_classes)}
        assert {n: e["label"] for n, e in found.items()} == {n: e for n, (_, e) in expected.items()}
        for name, (index, _) in expected.items():
            example = found[name]
            whole = files.picture(width=32, height=32, seed=index)[:, :, ::-1]
            assert np.abs(example["image"].astype(int) - whole).mean() < 4
            np.testing.assert_allclose(example["landmarks"], files.FIVE, atol=1e-6)
            np.testing.assert_allclose(example["valence"], files.valence(index), rtol=1e-6)
            np.testing.assert_allclose(example["arousal"], files.arousal(index), rtol=1e-6)
            assert not set(ran_lists.AFFECTNET_LISTS) & set(example)
    assert builder.info.metadata["subsets"] == {}
    assert builder.info.metadata["subsets_note"] in caplog.text
    assert "get the original release" in caplog.text and "original_8" in caplog.text
