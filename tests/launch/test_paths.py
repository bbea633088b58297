"""Paths with whatever a file system allows, for every path of every command.

TensorFlow takes brackets and stars for patterns, OpenCV percent signs, rich brackets, shells
quotes: a name is only a name here.
"""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.data import astronaut

import ran_tf
import tests.fixtures.tiny_backbone  # noqa: F401, registers it
from ran_tf.exports import export as exports
from ran_tf.faces.worker import AlignConfig
from ran_tf.inference.files import find_files
from ran_tf.launch import (
    evaluate,
    export,
    predict,
    recipes,
)
from ran_tf.launch import flags as launch_flags
from ran_tf.safety import files
from ran_tf.serving import service
from ran_tf.training import loop

ODD = "a b[c]*?'\"%d#é{x};$(y)&\\z"


RUN = ("--backbone=tiny", "--image_size=32", "--region_size=32", "--regions=random")
RUN += ("--target=label", "--epochs=1", "--batch_size=8", "--dataset=folder_faces/mine")


@pytest.fixture
def odd(tmp_path):
    """A folder of an odd name with the raw files of a dataset and a photo."""
    folder = tmp_path / ODD
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        for name, level in (("dark", 60), ("light", 200)):
            of_class = folder / "raw" / split / name
            of_class.mkdir(parents=True)
            for i in range(count):
                pixels = draw.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(of_class / f"{split}{i}%d[0].png")
    (folder / "photos").mkdir()
    Image.fromarray(astronaut()).save(folder / "photos" / "a[b]*.png")
    return folder


def test_what_tensorflow_reads_by_pattern(odd, small_export):
    """Checkpoints, also those of an export: a path with brackets could never be read again."""
    variable = tf.Variable(7.0)
    (odd / "step-1").mkdir()
    tf.train.Checkpoint(variable=variable).write(str(odd / "step-1" / "state"))
    variable.assign(0)
    with files.without_patterns(odd / "step-1") as plain:
        tf.train.Checkpoint(variable=variable).read(str(plain / "state")).assert_consumed()
    assert variable.numpy() == 7
    shutil.copytree(small_export.path, odd / "export" / "1")
    served = service.ModelService(exports.find_version(odd / "export"))
    assert "images" in served.signature_def
    for name in ("plain", "é %d#'"):  # no pattern: no link
        with files.without_patterns(odd.parent / name) as plain:
            assert plain == odd.parent / name


def test_prepare_and_align(odd):
    assert "Built" in ran_tf.prepare(**mine(odd), manual_dir=str(odd / "raw"))
    assert "Already built" in ran_tf.prepare(**mine(odd))
    for name, landmarks_only in (("aligned", False), ("points", True)):
        made = ran_tf.align_folder(
            input_dir=odd / "photos",
            output_dir=odd / name,
            config=AlignConfig(landmarks_only=landmarks_only),
        )
        assert made.faces == 1
    assert (odd / "aligned" / "a[b]*.png").is_file()


def mine(odd):
    return {"dataset": "folder_faces/mine", "data_dir": str(odd / "data")}


@pytest.mark.large
# Keras 3.15 converts tf.Variables so when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_every_path_of_every_command(odd, parse):
    ran_tf.prepare(**mine(odd), manual_dir=str(odd / "raw"))
    run, second, written = odd / "run", odd / "second", odd / "export"

    def train_run(workdir, *, init_weights=None):
        values = parse(*RUN, f"--data_dir={odd}/data", f"--workdir={workdir}")
        config = launch_flags.train_config(values)
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        loop.train(config, workdir, strategy=strategy, init_weights=init_weights)

    def predict_with(model):
        parse(f"--model={model}", f"--annotate={odd}/drawn", command=predict)
        predict.main([str(odd / "photos"), str(odd / "raw/test/dark/*0*.png")])

    def export_to(name, kind):
        export.export(run, odd / name, format=kind)

    report = {"out": odd / "report", "command": "", **mine(odd)}
    trial = {"kinds": ["blur"], "limit": 4, **mine(odd)}
    preset = {"measure": "validation", "report": odd / "report" / "report.json", **mine(odd)}
    steps = {
        "train": lambda: train_run(run),
        "resume": lambda: train_run(run),
        "train from a run": lambda: train_run(second, init_weights=str(run)),
        "export": lambda: export_to("export", "saved_model"),
        "export to ONNX": lambda: export_to("onnx", "onnx"),
        "export to LiteRT": lambda: export_to("lite", "tflite"),
        "check an export": lambda: ran_tf.check_export(written, model=run),
        "check an export alone": lambda: ran_tf.check_export(written / "1"),
        "evaluate": lambda: evaluate.evaluate(run, baseline=written, **report),
        "make a preset": lambda: ran_tf.save_to_preset(run, odd / "p", **preset),
        "robustness": lambda: ran_tf.robustness(odd / "p" / "model.safetensors", **trial).save(
            odd / "trial"
        ),
        "predict with a run": lambda: predict_with(run),
        "predict with an export": lambda: predict_with(written),
        "predict with a preset": lambda: predict_with(odd / "p"),
    }
    for name, step in steps.items():
        try:
            step()
        except BaseException as error:
            error.add_note(f"step: {name}")
            raise
    drawn = sorted(path.name for path in (odd / "drawn").iterdir())
    assert drawn == ["a[b]*.png", *(f"test{i}%d[0].png" for i in range(4))]


def test_a_flagfile(odd):
    (odd / "a b%.flags").write_text("--epochs=1\n")
    argument = f"--flagfile={odd / 'a b%.flags'}"
    assert recipes.expand([argument]) == [argument]


def test_a_url_is_no_path(tmp_path):
    url = "https://example.org/a//b.jpg"
    found, failures, _ = find_files([url, str(tmp_path / "a:" / "b*")])
    assert found == [] and failures[0] == {"path": url, "error": "no file; download it first"}
