"""What holds for every builder: TFDS' own checks, the order of emotions, the published lists."""

import pytest
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf.vocabulary import LABELS, OCCLUSIONS
from tests.fixtures import affectnet_files, builds, ferplus_files, raf_db_files, real_data
from tests.tfds_builders import test_fer2013, test_folder_faces, test_sfew
from tfds_builders.affectnet import affectnet_dataset_builder
from tfds_builders.fer2013 import fer2013_dataset_builder
from tfds_builders.ferplus import ferplus_dataset_builder
from tfds_builders.folder_faces import folder_faces_dataset_builder
from tfds_builders.raf_db import raf_db_dataset_builder
from tfds_builders.reading import conditions, ran_lists
from tfds_builders.sfew import sfew_dataset_builder


class FerplusTest(builds.OnFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = ferplus_dataset_builder.Builder
    SPLITS = {"train": 2, "validation": 1, "test": 3, "ambiguous": 2}  # noqa: RUF012, TFDS' form

    @staticmethod
    def write(folder):
        ferplus_files.write_lists(ferplus_files.write_folders(folder))


class RafDbTest(builds.OnFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = raf_db_dataset_builder.Builder
    SPLITS = {"train": 10, "validation": 1, "test": 4}  # noqa: RUF012

    @staticmethod
    def write(folder):
        raf_db_files.write_lists(raf_db_files.write(folder / "basic"))
        raf_db_files.write_lists(folder)


class _AffectNetTest(builds.OnFiles):
    """On a folder that holds both releases."""

    DATASET_CLASS = affectnet_dataset_builder.Builder

    @staticmethod
    def write(folder):
        both = affectnet_files.write_numbered(affectnet_files.write_lists(folder))
        affectnet_files.write_original(both)


class AffectNet8Test(_AffectNetTest, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ["numbered_8", "original_8"]  # noqa: RUF012
    SPLITS = {"train": 5, "validation": 5}  # noqa: RUF012


class AffectNet7Test(_AffectNetTest, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ["numbered_7", "original_7"]  # noqa: RUF012
    SPLITS = {"train": 4, "validation": 4}  # noqa: RUF012


class SfewTest(builds.OnFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = sfew_dataset_builder.Builder
    SPLITS = {"train": 14, "validation": 7}  # noqa: RUF012
    write = test_sfew.write


class Fer2013Test(builds.OnFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = fer2013_dataset_builder.Builder
    SPLITS = {"train": 7, "validation": 7, "test": 7}  # noqa: RUF012
    write = test_fer2013.write_table


class FolderFacesTest(builds.OnFiles, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = folder_faces_dataset_builder.Builder
    SPLITS = {"train": 14, "validation": 1, "test": 3}  # noqa: RUF012
    write = test_folder_faces.write_splits


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("affectnet", "numbered_8"),
        ("affectnet/numbered_7", "numbered_7"),
        ("affectnet/original_8", "original_8"),
        ("affectnet/original_7", "original_7"),
        ("fer2013", None),
        ("ferplus", "majority"),
        ("raf_db", "aligned"),
        ("sfew", None),
    ],
)
def test_the_emotions_are_in_the_published_order(name, config):
    builder = tfds.builder(name, data_dir="unused")
    count = 7 if name.endswith("_7") else None
    assert tuple(builder.info.features["label"].names) == LABELS[builder.name][:count]
    assert (builder.builder_config and builder.builder_config.name) == config
    if name == "ferplus":
        assert ferplus_files.COLUMNS.split(",")[:8] == list(LABELS["ferplus"])


#: Rows of the authors' lists, and faces among them.
PUBLISHED = {
    "ferplus": {"occlusion": (605, 605), "pose_30": (1170, 1170), "pose_45": (633, 633)},
    "raf_db": {"occlusion": (735, 734), "pose_30": (1247, 1247), "pose_45": (558, 558)},
    "affectnet": {"occlusion": (683, 683), "pose_30": (1949, 1944), "pose_45": (985, 983)},
}
LISTS = {
    "ferplus": ran_lists.FERPLUS_LISTS,
    "raf_db": ran_lists.RAF_DB_LISTS,
    "affectnet": ran_lists.AFFECTNET_LISTS,
}


@pytest.mark.parametrize("name", LISTS)
def test_the_published_lists_have_their_published_faces(name):
    folder = real_data.require("ran_lists")
    infos = tfds_builders.DATASETS[name].url_infos
    assert set(infos) == {file.url for file in LISTS[name].values()}
    rows, labels = {}, {}
    for condition, file in LISTS[name].items():
        path = folder / file.folder / file.name
        rows[condition] = conditions.read_list(file, path=path)
        found = tfds.download.checksums.compute_url_info(path)
        info = infos[file.url]
        assert (found.size, found.checksum) == (info.size, info.checksum)
        # The lists agree on the label of every face that more than one of them names.
        for row in rows[condition]:
            assert labels.setdefault(row.id, row.label) == row.label
    ids = {condition: {row.id for row in found} for condition, found in rows.items()}
    counts = {condition: (len(found), len(ids[condition])) for condition, found in rows.items()}
    assert counts == PUBLISHED[name]
    assert ids["pose_45"] < ids["pose_30"]
    if name == "ferplus":
        kinds = [row.occlusion for row in rows["occlusion"]]
        assert [kinds.count(kind) for kind in OCCLUSIONS] == [0, 70, 138, 213, 184]
    if name == "raf_db":
        assert set(labels.values()) == set(range(7))
