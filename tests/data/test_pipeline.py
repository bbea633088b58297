"""The data pipeline: what a batch holds, its order, and its errors."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf import vocabulary
from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import ops, pipeline, prepared
from ran_tf.data.share import WHOLE, Share
from ran_tf.regions import kinds


@pytest.fixture(scope="module")
def data(synthetic_dir):
    return DataConfig(
        data_dir=synthetic_dir,
        image_size=(24, 24),
        train_split="train[:50]",
        validation_split="validation[:20]",
    )


def training_data(data, *, batch_size=16, seed=0):
    return pipeline.TrainingData(
        data, prepared.open_dataset(data), batch_size=batch_size, seed=seed
    )


def together(batches, name):
    return np.concatenate([batch[name].numpy() for batch in batches])


def test_an_epoch_is_every_face_once_and_the_last_batch_is_small(data):
    train = training_data(data)
    batches = list(train.epoch(0))
    assert train.steps_per_epoch == len(batches) == len(train.epoch(0)) == 4
    assert [len(b["image"]) for b in batches] == [16, 16, 16, 2]
    first = batches[0]
    assert first["image"].shape == (16, 24, 24, 3) and first["image"].dtype == tf.uint8
    assert first["boxes"].shape == (16, 6, 4) and first["mask"].dtype == tf.bool
    assert first["labels"].shape == (16, 8) and first["key"].shape == (16,)
    faces = together(batches, "image").reshape(50, -1)
    assert len(np.unique(faces, axis=0)) == 50


def test_batches_are_not_tuned(data):
    """An iterator of tf.data with its tuner may take a minute to end, after every epoch."""
    kept = ran_tf.load_dataset("synthetic_faces", data_dir=data.data_dir)
    for batches in (training_data(data).epoch(0), kept.train, kept.validation):
        assert batches.options().autotune.enabled is False


def test_order_is_a_function_of_seed_and_epoch(data):
    def order(seed, epoch):
        return together(training_data(data, seed=seed).epoch(epoch), "image")

    np.testing.assert_array_equal(order(0, 1), order(0, 1))
    assert (order(0, 0) != order(0, 1)).any()
    assert (order(0, 0) != order(1, 0)).any()
    assert (order(0, 1) != order(1, 0)).any()


@pytest.mark.parametrize("kind", ["fixed", "random"])
def test_an_epoch_can_be_taken_up_in_the_middle(data, kind):
    data = dataclasses.replace(data, regions=RegionConfig(kind=kind, k=6))
    train = training_data(data)
    whole, rest = list(train.epoch(2)), list(train.epoch(2, first_step=2))
    for name in ("image", "boxes", "key", "labels"):
        np.testing.assert_array_equal(together(whole[2:], name), together(rest, name))


def test_random_regions_are_fresh_in_training_and_fixed_in_evaluation(data):
    data = dataclasses.replace(data, regions=RegionConfig(kind="random", k=4))
    train = training_data(data)
    boxes = [together(train.epoch(e), "boxes") for e in (0, 1)]
    assert len(np.unique(np.concatenate(boxes)[:, 1:].reshape(-1, 4), axis=0)) == 300
    dataset = prepared.open_dataset(data)

    def evaluated():
        batches = pipeline.eval_batches(data, dataset, split="validation[:20]", batch_size=8)
        return together(batches, "boxes")

    np.testing.assert_array_equal(evaluated(), evaluated())


def test_landmark_regions_are_round_the_points(data):
    data = dataclasses.replace(data, regions=RegionConfig(kind="landmarks", k=6, radius=0.1))
    dataset = prepared.open_dataset(data)
    batch = next(iter(pipeline.eval_batches(data, dataset, split="train[:50]", batch_size=50)))
    raw = dataset.builder.as_dataset(split="train[:50]", shuffle_files=False)
    points = np.stack([example["landmarks"] for example in raw.as_numpy_iterator()])
    boxes = batch["boxes"].numpy()[:, 1:]
    centre = (boxes[..., :2] + boxes[..., 2:])[..., ::-1] / 2
    inside = ((points > 0.1) & (points < 0.9)).all(-1)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(centre[inside], points[inside], atol=1e-5)


def test_evaluation_keeps_the_order_and_the_conditions(data):
    dataset = prepared.open_dataset(data)
    batches = list(pipeline.eval_batches(data, dataset, split="test", batch_size=512))
    ids = together(batches, "id")
    assert len(set(ids)) == len(ids) == dataset.size("test")
    occlusions = collections.Counter(together(batches, "occlusion").tolist())
    assert set(occlusions) == set(range(len(vocabulary.OCCLUSIONS)))
    assert together(batches, "pose_45").sum() < together(batches, "pose_30").sum()


def test_balanced_sampling_draws_classes_equally(data):
    data = dataclasses.replace(data, balanced=True, train_split="train[:300]")
    dataset = prepared.open_dataset(data)
    train = pipeline.TrainingData(data, dataset, batch_size=300, seed=0)
    drawn = np.concatenate([together(train.epoch(e), "labels") for e in range(4)]).sum(0)
    assert drawn.sum() == 1200
    # Binomial with p = 1/8 of 1,200: 150 +- 4 standard deviations of 11.5.
    assert (np.abs(drawn - 150) < 46).all()


def test_grey_faces_get_three_channels_eagerly_and_in_tf_data():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 10
    eager = ops.to_face(tf.constant(grey), size=(4, 4))
    mapped = tf.data.Dataset.from_tensors(grey).map(lambda x: ops.to_face(x, size=(4, 4)))
    np.testing.assert_array_equal(eager, np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(mapped.get_single_element(), eager)


def test_errors_name_what_is_wrong(data, tmp_path):
    def opened(**changes):
        return prepared.open_dataset(dataclasses.replace(data, **changes))

    with pytest.raises(ValueError, match="Received: dataset='ferplas'"):
        opened(name="ferplas")
    with pytest.raises(FileNotFoundError, match="ran_tf.launch.prepare --dataset=ferplus"):
        opened(name="ferplus", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="Received: target='votes'"):
        opened(target="votes")
    with pytest.raises(ValueError, match="Received: split='tset'"):
        opened().size("tset")
    with pytest.raises(ValueError, match="Received: train_split="):
        training_data(dataclasses.replace(data, train_split="train[:0]"))


def test_an_emotion_order_that_is_not_ours_is_refused(data, monkeypatch):
    monkeypatch.setitem(vocabulary.LABELS, "synthetic_faces", vocabulary.LABELS["ferplus"][::-1])
    with pytest.raises(ValueError, match="emotion order"):
        prepared.open_dataset(data)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_uncached_path_gives_the_same_batches(data, balanced):
    def batches(cache):
        changed = dataclasses.replace(data, cache=cache, balanced=balanced)
        return list(training_data(changed).epoch(0))

    for name in ("image", "labels", "key"):
        np.testing.assert_array_equal(
            together(batches(True), name), together(batches(False), name), err_msg=name
        )


@pytest.mark.parametrize(("cache", "per_process"), [(True, [2, 1]), (False, [1, 4])])
def test_shares_of_a_batch_are_disjoint_and_whole(data, cache, per_process):
    """Also where the batch does not divide by the replicas, and the last of 2 faces has too few."""
    data = dataclasses.replace(data, cache=cache, regions=RegionConfig(kind="random", k=3))
    train = training_data(data)
    total = sum(per_process)
    whole = list(train.epoch(1, first_step=1))
    for name in ("image", "labels", "key", "boxes"):
        rebuilt = [np.full_like(batch[name], 77) for batch in whole]
        for process, count in enumerate(per_process):
            share = Share(first=sum(per_process[:process]), count=count, total=total)
            parts = list(train.epoch(1, first_step=1, share=share))
            assert len(parts) == len(whole) * count
            for i, part in enumerate(parts):
                replica = share.first + i % count
                rows = rebuilt[i // count][replica::total]
                assert rows.shape == part[name].shape  # of the last batch some have none
                rows[...] = part[name]
        for batch, again in zip(whole, rebuilt, strict=True):
            np.testing.assert_array_equal(batch[name], again, err_msg=name)


def test_shares_of_an_evaluation_are_disjoint_and_whole(data):
    dataset = prepared.open_dataset(data)

    def ids(share):
        batches = pipeline.eval_batches(
            data, dataset, split="validation[:19]", batch_size=8, share=share
        )
        return [batch["id"].numpy().tolist() for batch in batches]

    first, second = (ids(Share(first=i, total=2)) for i in range(2))
    assert [len(batch) for batch in first + second] == [4, 4, 2, 4, 4, 1]
    for one, other, both in zip(first, second, ids(WHOLE), strict=True):
        assert one == both[::2] and other == both[1::2]
    with pytest.raises(ValueError, match="Received: share.first=2"):
        Share(first=2, total=2)


@pytest.mark.parametrize("k", [6, 8])
def test_fixed_regions_are_those_of_the_variant(k):
    regions = RegionConfig(k=k, variant="released")
    boxes = ops.batch_regions(
        np.zeros((2, 5, 2), np.float32), np.zeros(2, np.int32), regions=regions
    )["boxes"]
    np.testing.assert_array_equal(boxes, np.stack([ran_tf.fixed_boxes(k, variant="released")] * 2))


def test_resized_pixels_are_rounded():
    pair = tf.constant([[[[10], [13]]]], tf.uint8)  # mean 11.5
    assert (ops.to_face(pair, size=(1, 1)).numpy() == 12).all()


@pytest.mark.parametrize("kind", ["fixed", "random", "landmarks"])
def test_every_kind_may_be_the_whole_face_alone(kind):
    regions = RegionConfig(kind=kind, k=1)
    for faces in (2, 0):  # a share of a last batch may hold none
        points = np.full((faces, 5, 2), np.nan, np.float32)
        found = ops.batch_regions(points, np.zeros(faces, np.int32), regions=regions)
        np.testing.assert_array_equal(found["boxes"], np.tile([[[0, 0, 1, 1]]], (faces, 1, 1)))
    np.testing.assert_array_equal(kinds.serving_boxes(regions), [[0, 0, 1, 1]])
