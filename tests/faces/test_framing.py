"""How faces were cut travels from `align` by way of dataset and run to the photos of a user."""

import dataclasses
import functools
import json
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

import ran_tf
from ran_tf.config import DataConfig, ModelConfig, RegionConfig, TrainConfig
from ran_tf.data import prepared
from ran_tf.data.prepare import prepare
from ran_tf.faces import Face, align, framing
from ran_tf.faces.folder import align_folder
from ran_tf.faces.framing import Framing
from ran_tf.faces.worker import AlignConfig
from ran_tf.launch import train as train_command
from ran_tf.training import checkpoints, loop, run
from ran_tf.weights import records
from tests.exports.test_export import make_card, make_model, random_faces

WIDE = Framing(margin=0.5, drop=0.1)
POINTS = align.TEMPLATE * 30 + 15 - 0.5


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of two classes: u8[60, 60, 3], whose face `know_faces` knows."""
    folder = tmp_path_factory.mktemp("photos")
    for i, label in enumerate(("angry", "happy")):
        (folder / "train" / label).mkdir(parents=True)
        for j in range(3):
            path = folder / "train" / label / f"{j}.png"
            cv2.imwrite(str(path), random_faces(60, 60, seed=3 * i + j))
    return folder


@pytest.fixture
def know_faces(monkeypatch):
    face = Face(np.float32([15, 15, 45, 45]), 0.99, POINTS)

    def search(images, min_sides):
        return [[face]] * len(images)

    monkeypatch.setattr("ran_tf.faces.blazeface_search.create_search", lambda *_, **__: search)


@pytest.fixture
def cut(photos, know_faces, tmp_path):
    """What `align` makes of the photos with `WIDE`."""
    config = AlignConfig(size=24, margin=WIDE.margin, drop=WIDE.drop)
    align_folder(input_dir=photos, output_dir=tmp_path / "cut", config=config)
    return tmp_path / "cut"


def make_dataset(manual_dir, tmp_path, name: str):
    """(data, opened): a `folder_faces` of a folder."""
    config = f"folder_faces/{name}"
    prepare(dataset=config, manual_dir=str(manual_dir), data_dir=str(tmp_path / "tfds"))
    data = DataConfig(
        name=config,
        data_dir=str(tmp_path / "tfds"),
        image_size=(24, 24),
        validation_split="",
        regions=RegionConfig(k=1),
    )
    return data, prepared.open_dataset(data)


def config_of(data: DataConfig) -> TrainConfig:
    model = ModelConfig(backbone="tiny", size=(24, 24))
    return TrainConfig(data=data, model=model, epochs=1, batch_size=4, keep="last")


def test_a_run_cuts_photos_as_its_training_faces_were(cut, photos, tmp_path):
    line = prepare(dataset="folder_faces/cut", manual_dir=str(cut), data_dir=str(tmp_path / "tfds"))
    assert "cut with margin 0.5 and drop 0.1" in line
    data, dataset = make_dataset(cut, tmp_path, "cut")
    assert dataset.framing() == WIDE
    said = []
    loop.train(
        config_of(data),
        tmp_path / "run",
        strategy=tf.distribute.OneDeviceStrategy("CPU:0"),
        hooks=loop.Hooks(on_message=said.append),
    )
    assert not any("cut" in text for text in said), said
    photo = cv2.imread(str(photos / "train" / "happy" / "0.png"))[..., ::-1]
    want = align.align_face(photo, POINTS, size=24, margin=0.5, drop=0.1).image
    by_run = ran_tf.Predictor(tmp_path / "run", align=True)
    ((face,),) = by_run.faces([photo])
    assert np.abs(face.image.astype(int) - want).max() <= 1
    crops = ran_tf.Predictor(tmp_path / "run")
    np.testing.assert_allclose(
        by_run([photo])[0].probabilities, crops([face.image])[0].probabilities, atol=1e-6
    )


def test_landmarks_alone_say_nothing_of_a_cut(photos, know_faces, tmp_path):
    config = AlignConfig(landmarks_only=True)
    align_folder(input_dir=photos / "train" / "happy", output_dir=tmp_path, config=config)
    assert framing.find(tmp_path) is None and (tmp_path / "landmarks.csv").exists()


def test_who_is_asked_when_the_dataset_says_nothing(photos, cut, tmp_path):
    """Flags first, then the dataset, the run's own card, and the network that it starts from."""
    unknown, known = make_dataset(photos, tmp_path, "photos"), make_dataset(cut, tmp_path, "cut")
    source = tmp_path / "source"
    card = make_card(crop_margin=0.3, crop_drop=-0.2)
    records.save_best(source, model=make_model(), card=card, metrics={"epoch": 1})

    def framing_of(made, *, workdir, init_weights=None, given=None):
        said, (data, dataset) = [], made
        started = run.start(
            dataclasses.replace(config_of(data), model=ModelConfig(backbone="tiny", size=(32, 32))),
            tmp_path / workdir,
            dataset=dataset,
            strategy=tf.distribute.OneDeviceStrategy("CPU:0"),
            init_weights=init_weights,
            hooks=loop.Hooks(on_message=said.append),
            checkpoint_seconds=300.0,
            check=lambda: None,
            framing=given,
        )
        metrics = {"epoch": 1, "validation_accuracy": 0.5}
        checkpoints.save(
            started.store,
            row=metrics,
            best=functools.partial(
                records.save_best,
                model=started.engine.state.ema,
                card=started.card,
                metrics=metrics,
            ),
        )
        card = started.card
        lines = [text for text in said if "--crop_margin" in text]
        return (card.crop_margin, card.crop_drop), lines

    found, lines = framing_of(unknown, workdir="a")
    assert found == (0.0, 0.0) and len(lines) == 1
    given = Framing(margin=0.25)
    assert framing_of(known, workdir="flags", given=given) == ((0.25, 0.0), [])
    found, lines = framing_of(unknown, workdir="b", init_weights=str(source))
    assert found == (0.3, -0.2) and str(source) in lines[0]
    assert framing_of(known, workdir="c", init_weights=str(source)) == ((0.5, 0.1), [])
    # A run that goes on needs its source no more.
    shutil.rmtree(source)
    assert framing_of(unknown, workdir="b", init_weights=str(source))[0] == (0.3, -0.2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--crop_margin=0.2", "--crop_drop=-.1"], Framing(margin=0.2, drop=-0.1)),
        (["--crop_drop=.1"], Framing(drop=0.1)),
        ([], None),
    ],
)
def test_the_flags_of_train(parse, monkeypatch, arguments, expected):
    given = []
    monkeypatch.setattr(
        train_command, "_train", lambda config, strategy, *, framing: given.append(framing)
    )
    monkeypatch.setattr(train_command.afterwards, "finish", lambda *_, **__: None)
    parse("--workdir=w", *arguments)
    train_command.main()
    assert given == [expected]


def test_the_flags_of_train_have_bounds(parse):
    with pytest.raises(flags.IllegalFlagValueError, match="crop_margin"):
        parse("--workdir=w", "--crop_margin=9")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"margin": 9, "drop": 0}', '{"margin": "a"}'])
def test_what_is_no_framing_names_its_file(photos, tmp_path, text):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / framing.FILE).write_text(text)
    with pytest.raises(ValueError, match=r"raw/framing\.json must"):
        prepare(dataset="folder_faces", manual_dir=str(folder), data_dir=str(tmp_path / "tfds"))


def test_what_a_dataset_of_others_says_is_checked(cut, tmp_path):
    data, _ = make_dataset(cut, tmp_path, "cut")
    (path,) = (tmp_path / "tfds").rglob("metadata.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "framing": {"margin": [1]}}))
    with pytest.raises(ValueError, match=r"metadata of 'folder_faces/cut.*must give numbers"):
        prepared.open_dataset(data).framing()
