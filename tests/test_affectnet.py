"""AffectNet: both releases, the authors' lists, what is left out, streaming, Beam, balancing."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_builders
from ran_tf.config import DataConfig
from ran_tf.data import pipeline
from tests import affectnet_files as files
from tests.real_data import require
from tfds_builders import conditions, features
from tfds_builders.affectnet import affectnet_dataset_builder, face
from tfds_builders.affectnet import original as layout

CONFIGS = ("numbered_8", "numbered_7", "original_8", "original_7")


class _AffectNetTest:
    """What TFDS asks of every builder, on a folder that holds both releases."""

    DATASET_CLASS = affectnet_dataset_builder.Builder

    @classmethod
    def setUpClass(cls):
        cls._files = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls._files.name
        folder = pathlib.Path(cls.EXAMPLE_DIR)
        files.write_original(files.write_numbered(files.write_lists(folder)))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._files.cleanup()


class AffectNet8Test(_AffectNetTest, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ["numbered_8", "original_8"]  # noqa: RUF012, TFDS' own form
    SPLITS = {"train": 5, "validation": 5}  # noqa: RUF012


class AffectNet7Test(_AffectNetTest, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ["numbered_7", "original_7"]  # noqa: RUF012
    SPLITS = {"train": 4, "validation": 4}  # noqa: RUF012


@pytest.fixture
def original(tmp_path):
    return files.write_lists(files.write_original(tmp_path / "raw"))


@pytest.fixture
def numbered(tmp_path):
    return files.write_numbered(tmp_path / "raw")


def build(manual_dir, data_dir, *, config, **download_config):
    builder = tfds.builder(f"affectnet/{config}", data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **download_config)
    )
    return builder


def examples(builder, split):
    return {
        example["id"].decode(): example
        for example in builder.as_dataset(split=split).as_numpy_iterator()
    }


def kept(split, num_classes=8):
    return [(i, e) for i, e in enumerate(files.EXPRESSIONS[split]) if e < num_classes]


def test_the_emotions_are_in_the_published_order():
    order = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    assert order == face.EMOTIONS
    assert face.NO_EMOTION == ("none", "uncertain", "non-face")
    specs = pytest.importorskip("ran_tf.specs")
    assert specs.LABELS["affectnet"] == face.EMOTIONS
    assert specs.LABELS["affectnet7"] == face.EMOTIONS[:7]
    for config in CONFIGS:
        names = tfds_builders.DATASETS["affectnet"](config=config).info.features["label"].names
        assert tuple(names) == face.EMOTIONS[: int(config[-1])]
    assert tfds.builder("affectnet").builder_config.name == "numbered_8"


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
    with caplog.at_level("INFO"):
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
    assert builder.info.features["occlusion"].names[:5] == list(features.OCCLUSIONS)

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
        f"train has {len(kept('train', num_classes))} faces, the published one {published}: "
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


def test_an_exif_orientation_does_not_turn_the_face_under_its_box(tmp_path):
    picture = files.picture(width=32, height=24, seed=5)
    _, data = cv2.imencode(".jpg", picture)
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # orientation: turn by 90 degrees
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + tag + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path = tmp_path / "turned.jpg"
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    assert cv2.imread(str(path)).shape == (32, 24, 3)
    _, pixels = face.read_image(path, source="here")
    assert pixels.shape == (24, 32, 3)


@pytest.mark.parametrize("num_classes", [7, 8])
def test_the_numbered_release_has_no_subsets_and_says_so(tmp_path, caplog, numbered, num_classes):
    files.write_lists(numbered)  # even where the lists are there: they name other files
    with caplog.at_level("INFO"):
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
            assert not set(conditions.AFFECTNET_LISTS) & set(example)
    assert builder.info.metadata["subsets"] == {}
    assert builder.info.metadata["subsets_note"] in caplog.text
    assert "get the original release" in caplog.text and "original_8" in caplog.text


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def train_row(index):
    return files.original_path("train", index)


TRAIN = "Manually_Annotated_file_lists/training.csv"
VALIDATION = "Manually_Annotated_file_lists/validation.csv"
IMAGES = "Manually_Annotated_Images"
POSE = "pose_45_affectnet_list.txt"
ORIGINAL_MISTAKES = {
    "a table is missing": (
        lambda raw: (raw / VALIDATION).unlink(),
        FileNotFoundError,
        r"raw lacks validation\.csv of AffectNet's original release: put them.*manual_dir=",
    ),
    "the other release": (
        lambda raw: (shutil.rmtree(raw), files.write_numbered(raw)),
        FileNotFoundError,
        r"lacks training\.csv, validation\.csv, Manually_Annotated_Images/ .*it holds the numbered "
        r"release, build affectnet/numbered_8",
    ),
    "a column is missing": (
        lambda raw: edit(raw / TRAIN, ",valence,", ",pleasure,"),
        ValueError,
        r"training\.csv, row 1: the header lacks valence: use the table as published.*Received",
    ),
    "a row cut off": (
        lambda raw: edit(raw / TRAIN, ",0.9\n", "\n"),
        ValueError,
        r"training\.csv, row 2: has 8 columns, expected 9: get the table again.*Received: row=",
    ),
    "a landmark too few": (
        lambda raw: edit(raw / TRAIN, ";", ";1.5;2.5;"),
        ValueError,
        r"training\.csv, row 2: facial_landmarks must be 68 pairs.*Received: 138 numbers",
    ),
    "a landmark that is no number": (
        lambda raw: edit(raw / TRAIN, ";", ";x"),
        ValueError,
        r"training\.csv, row 2: facial_landmarks must hold numbers.*Received: facial_landmarks=",
    ),
    "an image is missing": (
        lambda raw: (raw / IMAGES / train_row(1)).unlink(),
        FileNotFoundError,
        r"\.png \(named by .*training\.csv, row 3\) is missing: unpack.*Received: path=",
    ),
    "an image that does not decode": (
        lambda raw: (raw / IMAGES / train_row(2)).write_bytes(b"<html>"),
        ValueError,
        r"\.JPG \(named by .*training\.csv, row 4\) does not decode.*Received: .* 6 bytes",
    ),
    "an empty image": (
        lambda raw: (raw / IMAGES / train_row(0)).write_bytes(b""),
        ValueError,
        r"\.jpg \(named by .*training\.csv, row 2\) does not decode.*Received: .* 0 bytes",
    ),
    "a box beside the image": (
        lambda raw: edit(raw / TRAIN, ",20,10,40,40,", ",90,10,40,40,"),
        ValueError,
        r"training\.csv, row 2: the face's box must lie in its image of 90x60 .*Received: x=90",
    ),
    "no box": (
        lambda raw: edit(raw / TRAIN, ",20,10,40,40,", ",NULL,NULL,NULL,NULL,"),
        ValueError,
        r"training\.csv, row 2: face_x must hold numbers: .*delete the row.*face_x='NULL'",
    ),
    "an expression of no meaning": (
        lambda raw: edit(raw / TRAIN, ",8,-0.2,", ",11,-0.2,"),
        ValueError,
        r"training\.csv, row 5: the expression must be 0\.\.10 \(neutral.*expression='11'",
    ),
    "a face twice in the validation table": (
        lambda raw: edit(
            raw / VALIDATION,
            files.original_path("validation", 1),
            files.original_path("validation", 0),
        ),
        ValueError,
        r"validation\.csv, row 2: repeats the image of .*validation\.csv, row 1: delete one",
    ),
    "a list row that names no image": (
        lambda raw: edit(raw / POSE, files.hashed("validation", 3), files.hashed("train", 0)),
        ValueError,
        r"pose_45_affectnet_list\.txt, row 1: names an image .* the 6 of .*validation\.csv.*id=",
    ),
    "a list of another order of the classes": (
        lambda raw: edit(raw / POSE, "2/", "6/"),
        ValueError,
        r"pose_45_affectnet_list\.txt, row 1: gives \w{56} the label 6 \(anger\), .*"
        r"validation\.csv, row 4 gives 2 \(sad\).*Received: expression=2",
    ),
}

ANNOTATIONS = "train_set/annotations"
NUMBERED_MISTAKES = {
    "a folder is missing": (
        lambda raw: shutil.rmtree(raw / "val_set" / "images"),
        FileNotFoundError,
        r"raw lacks val_set/images/ of AffectNet's numbered release: put them.*manual_dir=",
    ),
    "the other release": (
        lambda raw: (shutil.rmtree(raw), files.write_original(raw)),
        FileNotFoundError,
        r"it holds the original release, build affectnet/original_8",
    ),
    "an image is missing": (
        lambda raw: (raw / "train_set/images/2.jpg").unlink(),
        FileNotFoundError,
        r"images/2\.jpg \(named by .*2_exp\.npy\) is missing: unpack the images.*Received: path=",
    ),
    "an expression is missing": (
        lambda raw: (raw / ANNOTATIONS / "2_exp.npy").unlink(),
        ValueError,
        r"train_set must hold one N_exp\.npy for each image.*Received: 8 images, 7 expressions",
    ),
    "another annotation is missing": (
        lambda raw: (raw / ANNOTATIONS / "2_aro.npy").unlink(),
        FileNotFoundError,
        r"2_aro\.npy is missing: unpack the annotations again",
    ),
    "an array of objects": (
        lambda raw: np.save(raw / ANNOTATIONS / "1_exp.npy", np.array([{}]), allow_pickle=True),
        ValueError,
        r"1_exp\.npy must be a plain NumPy array.*save it as one\. Received: .*allow_pickle=False",
    ),
    "an empty array file": (
        lambda raw: (raw / ANNOTATIONS / "1_val.npy").write_bytes(b""),
        ValueError,
        r"1_val\.npy must be a plain NumPy array.*Received: ",
    ),
    "landmarks of another scheme": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_lnd.npy", np.zeros((5, 2))),
        ValueError,
        r"0_lnd\.npy must hold 136 numbers: unpack.*Received: shape=\(5, 2\)",
    ),
    "text that is no number": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_val.npy", np.array("high")),
        ValueError,
        r"0_val\.npy must hold 1 number: .*values=\['high'\]",
    ),
    "two expressions": (
        lambda raw: np.save(raw / ANNOTATIONS / "0_exp.npy", np.array([1, 2])),
        ValueError,
        r"0_exp\.npy must hold one value: .*Received: shape=\(2,\)",
    ),
    "an image cut off": (
        lambda raw: cut_off(raw / "train_set/images/2.jpg"),
        ValueError,
        r"images/2\.jpg .*does not decode as an image.*unpack it again.*Received: .* 929 bytes",
    ),
    "nothing but faces of no emotion": (
        lambda raw: [np.save(raw / "val_set/annotations" / f"{i}_exp.npy", 9) for i in range(6)],
        ValueError,
        r"numbered_8: no face of the validation split has an emotion.*Received: 6 faces",
    ),
}


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("mistake", ORIGINAL_MISTAKES)
def test_a_mistake_in_the_original_release_is_named(tmp_path, original, mistake):
    assert_named(ORIGINAL_MISTAKES[mistake], tmp_path, config="original_8")


@pytest.mark.parametrize("mistake", NUMBERED_MISTAKES)
def test_a_mistake_in_the_numbered_release_is_named(tmp_path, numbered, mistake):
    assert_named(NUMBERED_MISTAKES[mistake], tmp_path, config="numbered_8")


def assert_named(mistake, tmp_path, *, config):
    spoil, error, message = mistake
    spoil(tmp_path / "raw")
    with pytest.raises(error, match=message):
        build(tmp_path / "raw", tmp_path / "out", config=config)
    assert not list((tmp_path / "out").rglob("*tfrecord-*"))
    assert not tfds.builder(f"affectnet/{config}", data_dir=tmp_path / "out").is_prepared()


def test_the_published_lists_have_their_published_sizes():
    folder = require("ran_lists")
    rows = {
        condition: conditions.read_list(file, path=folder / file.folder / file.name)
        for condition, file in conditions.AFFECTNET_LISTS.items()
    }
    assert {name: len(found) for name, found in rows.items()} == {
        "occlusion": 683,
        "pose_30": 1949,
        "pose_45": 985,
    }
    labels = {name: {row.id: row.label for row in found} for name, found in rows.items()}
    assert {name: len(found) for name, found in labels.items()} == {
        "occlusion": 683,
        "pose_30": 1944,
        "pose_45": 983,
    }
    assert labels["pose_45"].items() <= labels["pose_30"].items()
    both = labels["occlusion"].keys() & labels["pose_30"].keys()
    assert len(both) == 311
    assert all(labels["occlusion"][name] == labels["pose_30"][name] for name in both)


def test_the_published_lists_join_by_hash_whatever_form_of_path_they_have(tmp_path):
    folder = require("ran_lists") / "AffectNet_dir"
    rows = {}
    for file in conditions.AFFECTNET_LISTS.values():
        found = conditions.read_list(file, path=folder / file.name)
        rows |= {row.id: row.label for row in found}
    raw = files.write_original(tmp_path / "raw")
    image = files.original_path("validation", 0)
    box_and_points = (raw / VALIDATION).read_text().splitlines()[0].split(",")[1:6]
    table = []
    for name, label in rows.items():
        (raw / IMAGES / f"1/{name}.jpg").parent.mkdir(exist_ok=True)
        (raw / IMAGES / f"1/{name}.jpg").hardlink_to(raw / IMAGES / image)
        table.append(",".join([f"1/{name}.jpg", *box_and_points, str(label), "0", "0"]))
    (raw / VALIDATION).write_text("\n".join(table))
    shutil.copytree(folder, raw / "AffectNet_dir")
    builder = build(raw, tmp_path / "out", config="original_8")
    assert builder.info.metadata["subsets"] == {"occlusion": 683, "pose_30": 1944, "pose_45": 983}
    found = examples(builder, "validation").values()
    counts = {name: sum(bool(e[name]) for e in found) for name in conditions.AFFECTNET_LISTS}
    assert counts == builder.info.metadata["subsets"]


def test_a_checksum_is_that_of_the_published_list():
    folder = require("ran_lists") / "AffectNet_dir"
    infos = affectnet_dataset_builder.Builder.url_infos
    assert set(infos) == {file.url for file in conditions.AFFECTNET_LISTS.values()}
    for url, info in infos.items():
        published = tfds.download.checksums.compute_url_info(folder / url.rsplit("/", 1)[1])
        assert (published.size, published.checksum) == (info.size, info.checksum)


UNEVEN = {0: 90, 3: 5, 6: 5}  # faces by expression


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A training and a validation split of 100 faces each, 90 of them neutral."""
    folder = tmp_path_factory.mktemp("uneven")
    expressions = tuple(e for e, count in UNEVEN.items() for _ in range(count))
    raw = files.write_numbered(
        folder / "raw", {"train": expressions, "validation": expressions}, side=8
    )
    build(raw, folder / "out", config="numbered_8")
    return DataConfig(
        name="affectnet/numbered_8", data_dir=str(folder / "out"), image_size=(8, 8), balanced=True
    )


def frequencies(batches):
    labels = np.concatenate([batch["labels"].numpy() for batch in batches])
    return {i: int(n) for i, n in enumerate(labels.sum(axis=0)) if n}


def test_balanced_training_draws_every_class_alike(uneven):
    dataset = pipeline.open_dataset(uneven)
    train = pipeline.TrainingData(uneven, dataset, batch_size=25, num_draws=1, seed=0)
    epochs = [frequencies(train.epoch(epoch)) for epoch in range(6)]
    assert all(sum(epoch.values()) == 100 for epoch in epochs)  # an epoch is no longer for it
    for expression in UNEVEN:
        drawn = sum(epoch[expression] for epoch in epochs)
        # Binomial with p = 1/3 of 600: 200 +- 4 standard deviations of 11.5; unbalanced 540 or 30.
        assert abs(drawn - 200) < 46
    assert set().union(*epochs) == set(UNEVEN)


def test_training_is_as_released_unless_asked_and_validation_always(uneven):
    dataset = pipeline.open_dataset(uneven)
    batches = list(pipeline.eval_batches(uneven, dataset, split="validation", batch_size=32))
    assert frequencies(batches) == UNEVEN
    ids = np.concatenate([batch["id"].numpy() for batch in batches])
    assert len(set(ids)) == 100
    # Without the authors' lists no face is in a subset.
    for name in ("occlusion", "pose_30", "pose_45"):
        assert not np.concatenate([batch[name].numpy() for batch in batches]).any()

    plain = DataConfig(**{**vars(uneven), "balanced": False})
    train = pipeline.TrainingData(plain, dataset, batch_size=25, num_draws=1, seed=0)
    assert frequencies(train.epoch(0)) == UNEVEN


@pytest.mark.filterwarnings("default")  # Beam's own
@pytest.mark.parametrize("config", ["numbered_8", "original_7"])
def test_a_beam_pipeline_makes_the_same_examples(tmp_path, caplog, config):
    reason = "needs Apache Beam: pip install apache-beam 'protobuf<7' 'pyarrow<26'"
    pytest.importorskip("apache_beam", reason=reason)
    raw = files.write_lists(files.write_original(files.write_numbered(tmp_path / "raw")))
    plain = build(raw, tmp_path / "plain", config=config)
    with caplog.at_level("INFO"):
        piped = build(raw, tmp_path / "beam", config=config, beam_runner="DirectRunner")
    assert piped._use_beam and not plain._use_beam
    assert piped.info.splits.total_num_examples > 0
    for split in files.EXPRESSIONS:
        assert records(piped, split=split) == records(plain, split=split)
    assert piped.info.metadata == plain.info.metadata
    reread = tfds.builder(f"affectnet/{config}", data_dir=tmp_path / "beam").info.metadata
    assert reread["left_out"]["train"]["non-face"] == 1
    assert f"{config}: train: {len(kept('train', int(config[-1])))} faces" in caplog.text


def test_a_runner_without_beam_is_refused_with_the_remedy(tmp_path, numbered, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    message = r"not installed: pip install apache-beam .*Received: beam_runner='DirectRunner'"
    with pytest.raises(ModuleNotFoundError, match=message):
        build(numbered, tmp_path / "out", config="numbered_8", beam_runner="DirectRunner")


def records(builder, *, split):
    """Every stored example, in file order; parsed, as the order of its features is no one's."""
    paths = [str(path) for path in builder.info.splits[split].filepaths]
    return [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator()
    ]


@pytest.mark.large
@pytest.mark.parametrize("release", ["numbered", "original"])
def test_memory_does_not_grow_with_the_release(tmp_path, release):
    peak = {}
    for faces in (5_000, 50_000):
        command = [sys.executable, "-m", "tests.affectnet_memory", release, str(faces)]
        run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
        peak[faces] = int(run.stdout.split()[-1])
    print(f"peak memory of a build, MiB by faces: {peak}")
    assert peak[50_000] < peak[5_000] + 60  # MiB; the rows of 45,000 more faces alone are 45
