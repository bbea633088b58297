"""What both protocols refuse or note, and what the command says before it loads anything."""

import importlib.util
import socket

import numpy as np
import pytest
import tensorflow as tf

import ran_tf
from ran_tf.serving import listen, service
from tests.exports.test_export import random_faces


@pytest.fixture(scope="module")
def model(small_export):
    return service.ModelService(small_export.path, max_batch=2, face_size=(32, 32))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_that_are_not_finite(model, number, dtype):
    regions = np.zeros((1, 6, 32, 32, 3), dtype)
    assert model.predict({"regions": regions}, signature="regions").outputs
    regions[0, 3, 7, 5, 1] = number
    with pytest.raises(service.BadRequestError, match=r"`regions` must be float32.*not numbers in"):
        model.predict({"regions": regions}, signature="regions")


def test_more_faces_than_are_allowed(model):
    png = tf.io.encode_png(random_faces(1, 9, 7)[0]).numpy()
    for inputs, signature in (
        ({"images": random_faces(3, 9, 7)}, "images"),
        ({"image_bytes": [png] * 3}, "serving_default"),
    ):
        with pytest.raises(service.BadRequestError, match="at most 2 faces. Received: 3"):
            model.predict(inputs, signature=signature)


@pytest.mark.parametrize(("height", "width", "noted"), [(32, 32, False), (200, 300, True)])
def test_photos_are_noted(model, height, width, noted):
    images = random_faces(1, height, width)
    encoded = [tf.io.encode_jpeg(images[0]).numpy()]
    for answer in (
        model.predict({"images": images}, signature="images"),
        model.predict({"image_bytes": encoded}, signature="serving_default"),
    ):
        assert len(answer.outputs) == 4
        assert (answer.note is not None) == noted
        assert not noted or "image 0 has 300 x 200 pixels" in answer.note


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"--rest_port={port} of --host=127.0.0.1: A"):
            listen.listen(host="127.0.0.1", port=port, flag="--rest_port")
    with listen.listen(host="127.0.0.1", port=port, flag="--rest_port") as free:
        assert free.getsockname()[1] == port


def test_a_missing_extra_is_said(monkeypatch, tmp_path):
    (tmp_path / "saved_model.pb").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r'starlette.*pip install "ran_tf\[serve\]"'):
        ran_tf.serve(tmp_path)
