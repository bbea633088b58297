"""Packed faces: the batches of TFDS, refused when damaged, trained on without TensorFlow."""

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import signal
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import ran_tf
from ran_tf.config import DataConfig, RegionConfig
from ran_tf.data import opening, order, pack, packed, split_expression
from ran_tf.data.dataset import DamagedDatasetError
from ran_tf.data.prefetch import prefetch
from ran_tf.data.share import Share
from ran_tf.weights import records
from tests.fixtures import ferplus_files
from tests.fixtures.commands import run_python

ROOT = pathlib.Path(__file__).parents[2]
RUN = [
    "--backend=jax",
    "--import=tests.fixtures.tiny_backbone",
    "--dataset=synthetic_faces",
    "--backbone=tiny",
    "--region_size=24",
    "--image_size=24",
    "--regions=random",
    "--num_regions=3",
    "--train_split=train[:40]+validation[:10]",
    "--validation_split=validation[50%:60%]",
    "--batch_size=16",
    "--epochs=2",
    "--checkpoint_seconds=0",
]

# The training command where TensorFlow, TFDS and wrapt are not installed. With STOP_AT the process
# is killed at that step.
WITHOUT_TENSORFLOW = """
import os, signal, sys
for name in ("tensorflow", "tensorflow_datasets", "wrapt"):
    sys.modules[name] = None
from ran_tf.launch import command, train
if os.environ.get("STOP_AT"):
    os.environ["KERAS_BACKEND"] = "jax"  # which is imported before the command sets it
    from ran_tf.training import checkpoints
    save = checkpoints.save
    def dying(store, **of_epoch):
        save(store, **of_epoch)
        if store.progress.step == int(os.environ["STOP_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
    checkpoints.save = dying
command.run(train.main, define_flags=train.define_flags)
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory, synthetic_dir):
    """The validation and test faces alone, small: 24 pixels."""
    folder = tmp_path_factory.mktemp("packed") / "faces"
    said = pack.pack("synthetic_faces", folder, data_dir=synthetic_dir, image_size=(24, 24))
    assert said.startswith("synthetic_faces/1.0.0: train 320, validation 80, test 112 faces")
    return folder


def both(faces, synthetic_dir, **changes):
    """How to read the packed and the prepared dataset."""
    data = DataConfig(name="synthetic_faces", data_dir=str(faces), image_size=(24, 24), **changes)
    return data, dataclasses.replace(data, data_dir=synthetic_dir)


def as_arrays(batches):
    return list(batches.as_numpy_iterator() if isinstance(batches, tf.data.Dataset) else batches)


def check_equal(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype.kind == other[name].dtype.kind or name == "id"
            np.testing.assert_array_equal(one[name], other[name].astype(one[name].dtype))


@pytest.mark.parametrize("kind", ["random", "landmarks"])
@pytest.mark.parametrize("share", [Share(), Share(first=1, count=2, total=3)])
def test_batches_are_those_of_tfds(faces, synthetic_dir, kind, share):
    made = []
    for data in both(
        faces,
        synthetic_dir,
        train_split="train[:40]+validation[:10]",
        regions=RegionConfig(kind=kind, k=6),
        balanced=kind == "random",
    ):
        dataset = opening.open_dataset(data)
        train = opening.training_data(data, dataset, batch_size=16, seed=3)
        found = as_arrays(train.epoch(1, first_step=1, share=share))
        found += as_arrays(
            opening.eval_batches(data, dataset, split="test[-30:]", batch_size=16, share=share)
        )
        said = (train.fingerprint, train.steps_per_epoch, train.size, dataset.full_name)
        said += (dataset.labels, dataset.name, dataset.framing(), dataset.colour(data))
        said += (dataset.shared(data.train_split, "validation"), set(dataset.split_names))
        made.append((found, said))
    (ours, said), (theirs, wanted) = made
    assert said == wanted
    check_equal(ours, theirs)


def test_grey_faces_and_their_votes_are_packed(tmp_path):
    manual = ferplus_files.write_folders(tmp_path / "raw")
    ferplus_files.write_lists(manual)
    ran_tf.prepare("ferplus", manual_dir=str(manual), data_dir=str(tmp_path / "tfds"))
    pack.pack("ferplus", tmp_path / "faces", data_dir=str(tmp_path / "tfds"))
    data = DataConfig(
        name="ferplus/majority", target="votes", train_split="train+ambiguous", image_size=(48, 48)
    )
    made = []
    for folder in ("faces", "tfds"):
        data = dataclasses.replace(data, data_dir=str(tmp_path / folder))
        dataset = opening.open_dataset(data)
        train = opening.training_data(data, dataset, batch_size=4, seed=0)
        found = as_arrays(train.epoch(0))
        found += as_arrays(opening.eval_batches(data, dataset, split="test", batch_size=4))
        made.append((found, (train.fingerprint, dataset.colour(data), dataset.framing())))
    check_equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1] and made[0][1][1] == "grey"
    with np.load(tmp_path / "faces" / "test.npz") as arrays:
        grey = packed.undo_deltas(arrays["image_deltas"])
        ids = [name.decode() for name in arrays["id"]]
    for name, image in zip(ids, grey, strict=True):
        np.testing.assert_array_equal(image[..., 0], ferplus_files.pixels(name))


def test_turns_are_those_of_tf_data():
    rng = np.random.default_rng(0)
    for _ in range(8):
        lengths = rng.choice([1, 5, 15, 16, 17, 32, 100], size=rng.integers(1, 40))
        starts = np.cumsum([0, *lengths])[:-1]
        interleaved = tf.data.Dataset.from_tensor_slices((starts, lengths)).interleave(
            lambda start, length: tf.data.Dataset.range(start, start + length),
            cycle_length=16,
            block_length=16,
        )
        wanted = list(interleaved.as_numpy_iterator())
        np.testing.assert_array_equal(order.in_turns(lengths), wanted)


SHARDS = {"train": [30, 0, 41, 30], "b": [7]}


EXPRESSIONS = """train;train+b;b + train[3:];train[:35];train[10:50%];train[-20%:];all;train[:-3]
train[33.3%:66.6%];train[50:10];b[:-50%];train[101:];b[3:3];train[-200:];train[:102];no
train[1:2:3];train[5];train[:];train[;b[:101%];;+;b[x:]"""


@pytest.mark.parametrize("expression", re.split("[;\n]", EXPRESSIONS))
def test_split_expressions_are_those_of_tfds(expression):
    template = tfds.core.ShardedFileTemplate(
        dataset_name="x", data_dir="/x", filetype_suffix="tfrecord"
    )
    theirs = tfds.core.splits.SplitDict(
        [
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=lengths,
                num_bytes=0,
                filename_template=template.replace(split=name),
            )
            for name, lengths in SHARDS.items()
        ]
    )
    try:
        wanted = [(f.skip, f.take) for f in theirs[expression].file_instructions]
    except (ValueError, KeyError):
        with pytest.raises(ValueError):
            split_expression.pieces(expression, shards=SHARDS)
    else:
        found = split_expression.pieces(expression, shards=SHARDS)
        assert [(piece.skip, piece.take) for piece in found] == wanted


def rewrite(folder, *, index=None, arrays=None):
    """Changes what faces.json says, or arrays of the validation split; the checksum fits."""
    path, known = folder / "validation.npz", json.loads((folder / "faces.json").read_text())
    if arrays is not None:
        with np.load(path) as old:
            kept = {name: old[name] for name in old.files} | arrays
        np.savez(path, **{name: array for name, array in kept.items() if array is not None})
    known["splits"]["validation"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "faces.json").write_text(json.dumps(known | (index or {})))


@pytest.fixture
def small(faces, tmp_path):
    """A copy with the validation split alone."""
    shutil.copytree(faces, tmp_path / "faces", ignore=shutil.ignore_patterns("t*.npz"))
    known = json.loads((faces / "faces.json").read_text())
    rewrite(tmp_path / "faces", index={"splits": {"validation": known["splits"]["validation"]}})
    return tmp_path / "faces"


def read_validation(folder):
    data = DataConfig(name="synthetic_faces", data_dir=str(folder), train_split="validation")
    return opening.open_dataset(data).read("validation", names=("image", "label"))


@pytest.mark.parametrize(
    "arrays",
    [
        {"label": np.full(80, 8)},
        {"label": np.zeros(79, np.int64)},
        {"label": np.array([{}] * 80, object)},
        {"image_deltas": np.zeros((80, 24, 24, 4), np.uint8)},
        {"image_deltas": np.zeros((80, 0, 24, 3), np.uint8)},
        {"image_deltas": np.zeros((80, 24, 24, 3), np.float32)},
        {"label_marks": None},
        {"landmarks": np.zeros((80, 5, 3), np.float32)},
        {"../else": np.zeros(80)},
        {"votes": np.zeros((80, 8), np.float32)},
    ],
    ids=lambda arrays: "/".join(map(str, arrays)),
)
def test_strange_arrays_are_refused(small, arrays):
    assert len(read_validation(small)["label"]) == 80
    rewrite(small, arrays=arrays)
    with pytest.raises(DamagedDatasetError, match=r"validation\.npz must be"):
        read_validation(small)


def test_an_array_that_would_unpack_to_more_is_refused(small):
    """Its header says a few bytes, the archive holds ten million."""
    path = small / "validation.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["pose_30.npy"] += bytes(10**7)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    rewrite(small)
    with pytest.raises(DamagedDatasetError, match="pose_30 of bool"):
        read_validation(small)


@pytest.mark.parametrize(
    "index",
    [
        {"format": 2},
        {"labels": ["neutral", "a\nb"]},
        {"labels": 3},
        {"name": "../x"},
        {"framing": {"margin": "wide"}},
        {"splits": {"../validation": {"shards": [80], "sha256": ""}}},
        {"splits": {"validation": {"shards": [10**12], "sha256": ""}}},
        {"splits": {"validation": {"shards": [True], "sha256": ""}}},
        {"splits": {}},
    ],
    ids=str,
)
def test_a_strange_index_is_refused(small, index):
    rewrite(small, index=index)
    with pytest.raises(DamagedDatasetError, match=r"faces\.json must be"):
        read_validation(small)


def test_altered_bytes_and_missing_files_are_named(small):
    path = small / "validation.npz"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DamagedDatasetError, match="checksum"):
        read_validation(small)
    path.unlink()
    with pytest.raises(DamagedDatasetError, match=r"validation\.npz"):
        read_validation(small)


def test_errors_name_what_does_not_fit(small, faces, synthetic_dir):
    data = DataConfig(name="ferplus", data_dir=str(small))
    with pytest.raises(ValueError, match="`dataset` must be 'synthetic_faces'"):
        opening.open_dataset(data)
    data = DataConfig(name="synthetic_faces", data_dir=str(small), target="votes")
    with pytest.raises(ValueError, match="`target` can be 'votes' only"):
        opening.open_dataset(data)
    with pytest.raises(FileExistsError, match="`out` holds"):
        pack.pack("synthetic_faces", faces, data_dir=synthetic_dir)
    with pytest.raises(ValueError, match="`splits` must be among train"):
        pack.pack("synthetic_faces", small / "x", data_dir=synthetic_dir, splits=["no"])


def test_deltas_are_undone():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 6, 3)).astype(np.uint8)
    np.testing.assert_array_equal(packed.undo_deltas(packed.deltas(image)), image)


def test_prefetching_keeps_the_order_and_raises_what_the_thread_does():
    def items():
        yield from range(5)
        raise OSError("gone")

    ahead = prefetch(items(), count=2)
    assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="gone"):
        next(ahead)
    assert list(prefetch([], count=2)) == []


@pytest.mark.large
def test_training_needs_no_tensorflow_and_goes_on_with_it(faces, synthetic_dir, tmp_path):
    """On packed faces and JAX, killed and resumed; TensorFlow then uses the work directory."""

    def train(workdir, data_dir=faces, **environment):
        places = (f"--data_dir={data_dir}", f"--workdir={tmp_path / workdir}")
        return run_python("-c", WITHOUT_TENSORFLOW, *RUN, *places, code=None, **environment)

    killed = train("run", STOP_AT="5")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = train("run")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step 5" in resumed.stdout
    whole = train("whole")
    assert whole.returncode == 0, whole.stderr
    ends = [records.read_best(tmp_path / name) for name in ("run", "whole")]
    for name in ("loss", "validation_cross_entropy"):
        assert ends[0][name] == pytest.approx(ends[1][name], rel=1e-4)
    starts = records.read_starts(tmp_path / "run")
    assert [start["dataset"] for start in starts] == ["synthetic_faces/1.0.0"] * 2
    found = records.load_workdir(tmp_path / "run")
    assert found.card.dataset == "synthetic_faces" and found.model.backbone.name == "tiny"
