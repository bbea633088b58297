"""Reading by batches, against TFDS' own reading by faces."""

import gc
import os
import re
import shutil
import weakref

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ran_tf.config import DataConfig
from ran_tf.data import damage, ops, pipeline, prepared, reader, store
from tfds_builders.reading import landmarks


@pytest.fixture(scope="module")
def sharded_dir(tmp_path_factory):
    """Faces of many sizes in more files than are read in turns, more in each than in a row."""
    folder = tmp_path_factory.mktemp("sharded")
    draw = np.random.default_rng(0)
    for split, count in {"train": 360, "test": 25}.items():
        for i in range(count):
            path = folder / "raw" / split / ("happy", "sad")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = draw.integers(4, 12, 2)
            cv2.imwrite(str(path), draw.integers(0, 256, (*size, 3), dtype=np.uint8))
    builder = tfds.builder("folder_faces", data_dir=folder / "out")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder / "raw", num_shards=20)
    )
    return str(folder / "out")


def oracle(builder, split):
    """The examples as TFDS reads and decodes them."""
    config = tfds.ReadConfig(try_autocache=False, add_tfds_id=False)
    return list(
        builder.as_dataset(split=split, read_config=config, shuffle_files=False).as_numpy_iterator()
    )


def folder_faces(data_dir, **changes):
    return DataConfig(name="folder_faces", data_dir=str(data_dir), image_size=(9, 8), **changes)


def small_training(data_dir, *, split, **changes):
    """Batches of four, of a few faces of `sharded_dir` or its copy."""
    data = folder_faces(data_dir, train_split=split, **changes)
    return pipeline.TrainingData(data, prepared.open_dataset(data), batch_size=4, seed=0)


@pytest.mark.parametrize("split", ["train", "train[7%:81%]", "train[:3]", "train+test"])
def test_order_and_content_are_those_of_tfds(sharded_dir, split):
    data = folder_faces(sharded_dir)
    dataset = prepared.open_dataset(data)
    assert len(dataset.builder.info.splits["train"].shard_lengths) == 20
    batches = pipeline.eval_batches(data, dataset, split=split, batch_size=50)
    faces = [
        {name: batch[name][i].numpy() for name in batch}
        for batch in batches
        for i in range(len(batch["id"]))
    ]
    expected = oracle(dataset.builder, split)
    assert [face["id"] for face in faces] == [example["id"] for example in expected]
    for face, example in zip(faces, expected, strict=True):
        assert face["label"] == example["label"]
        np.testing.assert_array_equal(face["labels"], np.eye(2)[example["label"]])
        np.testing.assert_array_equal(face["image"], ops.to_face(example["image"], size=(9, 8)))


@pytest.mark.parametrize("size", [(48, 48), (31, 40)])
def test_features_are_those_of_tfds(synthetic_dir, size):
    """Of a dataset of one size, with lists and landmarks."""
    dataset = prepared.open_dataset(DataConfig(data_dir=synthetic_dir))
    decoder = dataset.decoder(DataConfig(image_size=size))
    split = "test[:5%]"
    records = reader.records(dataset.builder, split).batch(500)
    (mapped,) = records.map(decoder.evaluation)
    eager = decoder.evaluation(records.get_single_element())
    training = decoder.training(records.get_single_element())
    assert set(training) == {"image", "label", "labels", "landmarks", "occlusion"}
    expected = oracle(dataset.builder, split)
    for name in eager:
        np.testing.assert_array_equal(mapped[name], eager[name])
        if name in training:
            np.testing.assert_array_equal(training[name], eager[name])
        if name == "image":
            wanted = [ops.to_face(example["image"], size=size) for example in expected]
        elif name == "labels":
            wanted = np.eye(8)[[example["label"] for example in expected]]
        elif name == "votes":
            wanted = np.zeros((len(expected), 8), np.float32)  # there are none
        else:
            wanted = [example[name] for example in expected]
        np.testing.assert_array_equal(eager[name], np.stack(wanted), err_msg=name)
    assert eager["pose_30"].dtype == tf.bool and eager["occlusion"].dtype == tf.int64


def test_votes_are_the_target_where_they_are_wanted():
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(5, 4, 1)),
            "label": tfds.features.ClassLabel(num_classes=3),
            "votes": tfds.features.Tensor(shape=(3,), dtype=np.float32),
        }
    )
    votes = np.float32([[0.5, 0.25, 0.25], [0.0, 0.125, 0.875]])
    face = np.zeros((5, 4, 1), np.uint8)
    records = tf.constant(
        [
            features.serialize_example(
                features.encode_example({"image": face, "label": 1, "votes": row})
            )
            for row in votes
        ]
    )
    wanted = {"votes": votes, "label": np.eye(3)[[1, 1]]}
    for target, rows in wanted.items():
        decoder = reader.Decoder(features, size=(5, 4), target=target)
        np.testing.assert_array_equal(decoder.training(records)["labels"], rows)


def test_a_batch_without_faces_stays_one(synthetic_dir):
    """A share of a last batch may hold no face."""
    dataset = prepared.open_dataset(DataConfig(data_dir=synthetic_dir))
    faces = dataset.decoder(DataConfig(image_size=(20, 24))).evaluation(tf.constant([], tf.string))
    assert faces["image"].shape == (0, 20, 24, 3)
    assert {len(value) for value in faces.values()} == {0}


def test_a_dataset_without_lists_and_landmarks_has_none_of_them(synthetic_dir):
    dataset = prepared.open_dataset(DataConfig(data_dir=synthetic_dir))
    features = dataset.builder.info.features
    few = tfds.features.FeaturesDict({name: features[name] for name in ("image", "label", "id")})
    record = reader.records(dataset.builder, "test[:2]").batch(2).get_single_element()
    faces = reader.Decoder(few, size=(48, 48), target="label").evaluation(record)
    full = dataset.decoder(DataConfig(image_size=(48, 48))).evaluation(record)
    assert {name: (v.dtype, v.shape) for name, v in faces.items()} == {
        name: (v.dtype, v.shape) for name, v in full.items()
    }
    assert not any(faces[name].numpy().any() for name in ("occlusion", "pose_30", "pose_45"))
    assert np.isnan(faces["landmarks"]).all()


def test_a_split_without_faces_is_refused(synthetic_dir):
    dataset = prepared.open_dataset(DataConfig(data_dir=synthetic_dir))
    with pytest.raises(ValueError, match=r"holds no faces. Received: split='train\[:0\]'"):
        reader.records(dataset.builder, "train[:0]")


@pytest.mark.parametrize("make", [store.InMemory, store.OnDisk])
@pytest.mark.parametrize("split", ["train", "train[7%:81%]", "train[-3:]+test"])
def test_a_store_has_every_face_by_its_number(sharded_dir, make, split):
    data = folder_faces(sharded_dir)
    dataset = prepared.open_dataset(data)
    expected = oracle(dataset.builder, split)
    faces = make(dataset.builder, split, decoder=dataset.decoder(data))
    np.testing.assert_array_equal(faces.labels, [example["label"] for example in expected])

    numbers = np.random.default_rng(0).integers(0, len(expected), 40)
    numbers[1] = numbers[0]
    mapped = tf.data.Dataset.from_tensors(numbers).map(faces.fetch)
    assert mapped.element_spec["image"].shape.as_list() == [None, 9, 8, 3]
    for fetched in (faces.fetch(tf.constant(numbers)), mapped.get_single_element()):
        drawn = [expected[number] for number in numbers]
        np.testing.assert_array_equal(
            fetched["image"], [ops.to_face(example["image"], size=(9, 8)) for example in drawn]
        )
        np.testing.assert_array_equal(
            fetched["labels"], np.eye(2)[[example["label"] for example in drawn]]
        )


def test_faces_that_differ_in_anything_that_training_reads_have_another_fingerprint(tmp_path):
    header = f"id,{','.join(landmarks.COLUMNS)}\n"
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (6, 5, 3), dtype=np.uint8) for _ in range(8)]

    def fingerprint(name, *, images=images, sort=str, points="0.5", cache=True):
        folder = tmp_path / name
        for i, image in enumerate(images):
            path = folder / "raw" / "train" / ("happy", "sad")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
        (folder / "raw" / "labels.txt").write_text("\n".join(sorted(("happy", "sad"), key=sort)))
        rows = header + f"0{f',{points}' * 10}\n"
        (folder / "raw" / "landmarks.csv").write_text(rows)
        tfds.builder("folder_faces", data_dir=folder / "out").download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=folder / "raw")
        )
        return small_training(folder / "out", split="train", cache=cache).fingerprint

    first = fingerprint("first")
    assert fingerprint("again", cache=False) == first
    other = [images[0] // 2, *images[1:]]
    different = {
        first,
        fingerprint("order of the classes", sort=lambda name: name[::-1]),
        fingerprint("swapped", images=[images[i ^ 1] for i in range(8)]),
        fingerprint("pixels", images=other),
        fingerprint("landmarks", points="0.5000001"),
    }
    assert len(different) == 5


@pytest.mark.parametrize("cache", [True, False])
def test_an_epoch_reads_the_faces_that_it_draws(sharded_dir, tmp_path, cache, monkeypatch):
    """However rare a class is, where all are drawn alike: records are gone through once a run."""
    folder = shutil.copytree(sharded_dir, tmp_path / "data")
    train = small_training(folder, split="train[:10]", balanced=True, cache=cache)
    list(train.epoch(0))
    read = []
    if cache:
        shutil.rmtree(folder)
    else:
        once = store.OnDisk._read
        monkeypatch.setattr(store.OnDisk, "_read", lambda self, n: read.extend(n) or once(self, n))
    assert [len(batch["image"]) for batch in train.epoch(1)] == [4, 4, 2]
    assert len(read) == (0 if cache else 10)


@pytest.mark.parametrize("cache", [True, False])
def test_faces_live_as_long_as_batches_of_them(sharded_dir, cache):
    """An ablation trains many runs in one process: each leaves no faces behind."""
    train = small_training(sharded_dir, split="train[:9]", cache=cache)
    faces = weakref.ref(train._faces)
    batches = iter(train.epoch(0))
    del train
    gc.collect()
    assert [len(batch["image"]) for batch in batches] == [4, 4, 1]
    del batches
    gc.collect()
    assert faces() is None


@pytest.mark.parametrize("damage_file", [os.remove, lambda path: os.truncate(path, 99)])
def test_a_file_that_is_damaged_during_a_run_is_named(sharded_dir, tmp_path, damage_file):
    folder = shutil.copytree(sharded_dir, tmp_path / "data")
    train = small_training(folder, split="train[:9]", cache=False)
    list(train.epoch(0))
    builder = prepared.open_dataset(folder_faces(folder)).builder
    (file,) = builder.info.splits["train[:9]"].file_instructions
    damage_file(file.filename)
    with (
        pytest.raises(damage.DamagedDatasetError, match=re.escape(str(file.filename))),
        damage.explained(builder),
    ):
        list(train.epoch(1))
