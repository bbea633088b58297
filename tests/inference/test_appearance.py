"""Two people of real photos are told apart, whatever their size and light."""

import os
import pathlib

import cv2
import numpy as np
import onnxruntime
import pytest

from ran_tf.inference import appearance, people
from ran_tf.weights.convert import faceres_tfjs
from ran_tf.weights.convert.tfjs import read_tfjs
from tests.fixtures import faceres_files, people_file
from tests.fixtures.moving_faces import LANDMARKS, portrait


def describe(name, *, scale=1.0, gain=1.0, turn=0.0):
    """Of a photo shrunk, darkened and turned (degrees)."""
    photo = portrait(name)
    middle = (photo.shape[1] / 2, photo.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, turn, scale)
    photo = cv2.warpAffine(cv2.GaussianBlur(photo, None, 0.4 / scale), matrix, photo.shape[1::-1])
    points = LANDMARKS[name] @ matrix[:, :2].T + matrix[:, 2]
    return appearance.describe_faces((gain * photo).astype(np.uint8), [points])[0]


def test_people_are_told_apart():
    looks = {
        name: np.stack(
            [
                describe(name),
                describe(name, scale=0.4, gain=0.6),
                describe(name, turn=25, gain=0.8),
            ]
        )
        for name in LANDMARKS
    }
    for one in looks.values():
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-3)
        assert (one @ one.T).min() > people.SAME
    assert (looks["collins"] @ looks["hopper"].T).max() < people.SAME - 0.1


def test_no_faces_look_like_nothing():
    assert appearance.describe_faces(portrait("hopper"), []).shape == (0, 1024)


def test_the_file_is_what_its_script_makes_of_faceres():
    source = os.environ.get("RAN_TF_FACERES")
    if not source:
        pytest.skip("no FaceRes: set RAN_TF_FACERES, see CONTRIBUTING.md")
    made = people_file.make_model(read_tfjs(source), side=224).SerializeToString()
    file = pathlib.Path(appearance.__file__).with_name("people_faceres.onnx")
    assert made == file.read_bytes()


def test_a_network_of_made_up_weights_is_the_one_that_keras_makes(tmp_path):
    """The same tensors through `convert`, which is held against TensorFlow.js elsewhere."""
    side = 64
    tensors = faceres_files.made_up_tensors(np.random.default_rng(0))
    path = faceres_files.write_tfjs(tmp_path / "faceres.json", tensors)
    keras_model = faceres_tfjs.convert_file(
        path, size=(side, side), preprocessing="standard", allow_partial=False
    ).model
    made = people_file.make_model(read_tfjs(path), side=side).SerializeToString()
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    faces = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    (features,) = session.run(None, {"images": faces})
    want = np.array(keras_model(faces[..., ::-1].astype(np.float32)))
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    # Kernels of int8.
    assert (features * want).sum(axis=1).min() > 0.999
