"""Targets that trained networks have a share in."""

import dataclasses

import numpy as np
import pytest

import ran_tf
from ran_tf.checks import InvalidArgument
from ran_tf.data import opening, pack
from ran_tf.data.lesson import Lesson
from ran_tf.training import loop, teacher
from ran_tf.weights import sources
from tests.fixtures import tiny_runs


@pytest.fixture(scope="module")
def config(synthetic_dir):
    return tiny_runs.make_config(synthetic_dir)


@pytest.fixture(scope="module")
def workdir(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    loop.train(config, folder, hooks=ran_tf.Hooks())
    return folder


def training_faces(config):
    dataset = opening.open_dataset(config.data)
    faces = opening.training_data(config.data, dataset, batch_size=20, seed=0)
    return dataset, faces


def answers(config, folder, **more):
    dataset, faces = training_faces(config)
    return teacher.answers(config, dataset, folder, fingerprint=faces.fingerprint, **more)


def test_answers_are_of_each_face_as_it_is_and_mirrored(config, workdir, tmp_path):
    config = dataclasses.replace(config, teacher=(str(workdir),))
    told = answers(config, tmp_path)
    dataset, _ = training_faces(config)
    (batch,) = opening.eval_batches(config.data, dataset, split="train[:20]", batch_size=20)
    model = sources.load_trained(str(workdir)).model
    y0, x0, y1, x1 = np.asarray(batch["boxes"]).transpose(2, 0, 1)
    mirrored = np.stack([y0, 1 - x1, y1, 1 - x0], axis=-1)
    image, mask = np.asarray(batch["image"]), np.asarray(batch["mask"])
    logits = [
        np.asarray(model({"image": shown, "boxes": boxes, "mask": mask})["logits"], np.float64)
        for shown, boxes in ((image, np.asarray(batch["boxes"])), (image[:, :, ::-1], mirrored))
    ]
    odds = [np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in logits]
    np.testing.assert_allclose(told, np.mean(odds, axis=0), atol=1e-5)


def test_answers_are_kept_for_a_run_that_goes_on(config, workdir, tmp_path):
    config = dataclasses.replace(config, teacher=(str(workdir),))
    said = []
    first = answers(config, tmp_path, say=said.append)
    np.testing.assert_array_equal(answers(config, tmp_path, say=said.append), first)
    assert len(said) == 1
    twice = dataclasses.replace(config, teacher=(str(workdir),) * 2)
    np.testing.assert_allclose(answers(twice, tmp_path, say=said.append), first, atol=1e-6)
    assert len(said) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_share_of_the_targets_is_the_teachers(config, synthetic_dir, tmp_path, packed):
    if packed:
        pack.pack("synthetic_faces", tmp_path / "faces", data_dir=synthetic_dir)
        data = dataclasses.replace(config.data, data_dir=str(tmp_path / "faces"))
        config = dataclasses.replace(config, data=data)
    _, faces = training_faces(config)
    (own,) = faces.epoch(0)
    rng = np.random.default_rng(0)
    told = rng.dirichlet(np.ones(8), size=20).astype(np.float32)
    faces.lesson = Lesson(answers=told, share=0.25)
    (taught,) = faces.epoch(0)
    rest = np.asarray(taught["labels"]) - 0.75 * np.asarray(own["labels"])
    # Each face has the answer to itself: the order of the epoch says which.
    order = np.random.default_rng([0, 0]).permutation(20)
    np.testing.assert_allclose(rest, 0.25 * told[order], atol=1e-6)


def test_a_run_learns_from_its_teacher(config, workdir, tmp_path):
    """Whose answers alone are its targets: the cross-entropy that it reports is of them."""
    changed = dataclasses.replace(
        config, teacher=(str(workdir),), teacher_share=1.0, epochs=1, keep="last"
    )
    with_teacher = loop.train(changed, tmp_path / "taught", hooks=ran_tf.Hooks()).metrics
    alone = dataclasses.replace(changed, teacher=())
    without = loop.train(alone, tmp_path / "alone", hooks=ran_tf.Hooks()).metrics
    assert with_teacher["cross_entropy"] != without["cross_entropy"]


def test_a_teacher_must_be_there_and_know_the_classes(config, tmp_path):
    absent = dataclasses.replace(config, teacher=(str(tmp_path / "none"),))
    with pytest.raises(FileNotFoundError, match="none"):
        answers(absent, tmp_path)
    dataset, faces = training_faces(config)
    dataset = dataclasses.replace(dataset, labels=(*dataset.labels[:-1], "boredom"))
    present = dataclasses.replace(config, teacher=("face_faceres_ferplus",))
    with pytest.raises(InvalidArgument, match="teacher.*boredom"):
        teacher.answers(present, dataset, tmp_path, fingerprint=faces.fingerprint)
