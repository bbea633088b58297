"""Strange images, tensors and requests, to an export and to the Predictor: answers, or reasons."""

import base64
import http.client
import json
import math
import socket
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import ran_tf
from ran_tf.serving import service
from tests.exports.test_export import random_faces
from tests.fixtures import rest_server
from tests.fixtures.hostile import assert_one_line, damaged, hostile

PNG = tf.io.encode_png(random_faces(1, 9, 7)[0]).numpy()
JPEG = tf.io.encode_jpeg(random_faces(1, 9, 7)[0]).numpy()
# 2 x 1 pixels.
BMP = bytes.fromhex(
    "424d3e000000000000003600000028000000020000000100000001001800000000000800000000000000000000000000"
    "00000000000001020304050600 00".replace(" ", "")
)
GIF = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
shapes = st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)


def _sound(outputs: dict, count: int) -> None:
    for value in outputs.values():
        assert len(value) == count
    probabilities = np.asarray(outputs["probabilities"])
    sums = probabilities.sum(axis=-1)
    # What is not finite goes in by `regions` alone, and comes out so.
    assert np.all(np.isnan(sums) | (np.abs(sums - 1) < 1e-3))


def _call(loaded, signature: str, **tensors) -> dict | None:
    try:
        return {k: v.numpy() for k, v in loaded.signatures[signature](**tensors).items()}
    except (tf.errors.OpError, ValueError, TypeError) as error:
        assert str(error)
        return None


def test_bytes_for_an_export(small_export):
    @hostile(150)
    @given(
        images=st.lists(
            st.one_of(*(damaged(data, most=4) for data in (PNG, JPEG, BMP, GIF)), st.binary()),
            max_size=2,
        )
    )
    @example(images=[PNG, JPEG])
    @example(images=[])
    @example(images=[BMP])
    @example(images=[GIF])
    def check(images):
        tensor = tf.constant(images, tf.string, shape=[len(images)])
        outputs = _call(small_export.loaded, "serving_default", image_bytes=tensor)
        if outputs is not None:
            _sound(outputs, len(images))
            assert np.isfinite(outputs["probabilities"]).all()

    check()
    assert _call(small_export.loaded, "serving_default", image_bytes=tf.constant([PNG, JPEG]))


def test_tensors_for_an_export(small_export):
    @hostile(100)
    @given(
        images=st_numpy.arrays(
            st.sampled_from([np.uint8, np.float32, np.int32]),
            shapes | st.tuples(st.integers(0, 2), *[st.integers(0, 40)] * 2, st.integers(0, 4)),
            elements={"min_value": 0, "max_value": 9},
        ),
        fill=st.sampled_from([0.0, 1e38, math.inf, math.nan, -1.0]),
        count=st.integers(0, 2),
    )
    @example(images=np.zeros((1, 0, 5, 3), np.uint8), fill=0.0, count=0)
    @example(images=np.zeros((0, 5, 5, 3), np.uint8), fill=0.0, count=0)
    def check(images, fill, count):
        outputs = _call(small_export.loaded, "images", images=tf.constant(images))
        if outputs is not None:
            _sound(outputs, len(images))
        regions = tf.fill([count, 6, 32, 32, 3], tf.constant(fill, tf.float32))
        outputs = _call(small_export.loaded, "regions", regions=regions)
        # TensorFlow's convolutions refuse an empty batch.
        assert outputs is not None or not count
        assert outputs is None or all(len(value) == count for value in outputs.values())
        assert _call(small_export.loaded, "regions", regions=tf.constant(images)) is None

    check()


# -- the Predictor ---------------------------------------------------------------------------------


def test_what_a_predictor_is_given(small_export):
    predictor = ran_tf.Predictor(small_export.path)
    items = st.one_of(
        damaged(PNG, most=3),
        st.none() | st.integers() | st.text(max_size=4).map(lambda name: f"/nowhere/{name}"),
        st_numpy.arrays(st.sampled_from([np.uint8, np.float32, object]), shapes),
        st_numpy.arrays(np.uint8, st.tuples(*[st.integers(0, 9)] * 2, st.just(3))),
    )

    @hostile(60)
    @given(images=st.lists(items, max_size=3) | items | st.dictionaries(st.text(max_size=2), items))
    @example(images=np.zeros((), np.uint8))
    @example(images={"a": np.zeros((1, 1, 3), np.uint8)})
    @example(images=["\0", None, 3])
    @example(images=[np.zeros((1, 1, 3), np.float32)])
    @example(images=[np.zeros((1, 1, 3), np.uint8)])
    def check(images):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's
                found = predictor(images, on_error="return")
        except ValueError as error:
            assert_one_line(error, "`images`", "Received: ")
            return
        assert len(found) == len(images) and not isinstance(images, dict)
        for image, one in zip(images, found, strict=True):
            if isinstance(one, ran_tf.Prediction):
                assert isinstance(image, bytes) or image.dtype == np.uint8
                assert abs(one.probabilities.sum() - 1) < 1e-3
            else:
                assert one.error

    check()


# -- crops -----------------------------------------------------------------------------------------


@hostile(100)
@given(
    boxes=st_numpy.arrays(
        np.float32,
        st.sampled_from([(1, 4), (2, 4), (1, 2, 4), (0, 4)]),
        elements=st.floats(width=32) | st.floats(-2, 3, width=32),
    ),
    side=st.integers(1, 5),
    portable=st.booleans(),
)
@example(boxes=np.full((1, 4), np.nan, np.float32), side=4, portable=False)
@example(boxes=np.array([[-3e38, 0, 3e38, 1]], np.float32), side=4, portable=False)
def test_crops(boxes, side, portable):
    face = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(1, 4, 5, 3)
    crops = ran_tf.crop_regions(face, boxes, size=(side, side), portable=portable).numpy()
    assert crops.shape == (1, boxes.shape[-2], side, side, 3)
    tame = (np.abs(boxes) < 1e6).all(axis=-1).reshape(-1)
    assert (crops[0, tame] >= -1e-3).all() and (crops[0, tame] <= face.max() + 1e-3).all()


@hostile(60)
@given(
    image=st_numpy.arrays(st.sampled_from([np.uint8, np.float64, "U1", np.bool_]), shapes),
    boxes=st_numpy.arrays(st.sampled_from([np.float32, np.int64, "U1"]), shapes),
    size=st.sampled_from([(2, 2), (0, 2), (-1, 2), (2,), None, (2.5, 2), ("a", 2), (10**9, 2)]),
)
@example(image=np.zeros((1, 4, 4, 3), np.uint8), boxes=np.zeros((1, 4), np.float32), size=(-1, 2))
@example(image=np.zeros((1, 4, 4, 3), "U1"), boxes=np.zeros((1, 4), np.float32), size=(2, 2))
@example(image=np.zeros((1, 4, 4, 3), np.uint8), boxes=np.zeros((1, 3), np.float32), size=(2, 2))
@example(image=np.zeros((1, 4, 4, 3), np.uint8), boxes=np.zeros(4, np.float32), size=(2, 2))
@example(image=np.zeros((1, 0, 4, 3), np.uint8), boxes=np.zeros((1, 4), np.float32), size=(2, 2))
@example(image=np.zeros((2, 4, 4, 3), np.uint8), boxes=np.zeros((3, 1, 4), "f4"), size=(2, 2))
@example(image=np.zeros((1, 4, 4, 3), np.uint8), boxes=np.zeros((1, 4), "f4"), size=(10**9, 2))
def test_crops_of_no_images(image, boxes, size):
    try:
        crops = ran_tf.crop_regions(image, boxes, size=size)
    except ValueError as error:
        assert_one_line(error, "Received: ")
        return
    assert crops.shape[0] == len(image) and tuple(crops.shape[2:4]) == size


# -- REST ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(small_export):
    model = service.ModelService(small_export.path)
    with rest_server.serve(model, max_request_bytes=2**16) as port:
        yield port


def _post(port: int, body: bytes) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/models/ran:predict", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


SOUND = {"instances": [{"b64": base64.b64encode(PNG).decode()}]}
IMAGES = {"signature_name": "images", "instances": [[[[1, 2, 3]]]]}
COLUMN = {"signature_name": "images", "inputs": [[[[1, 2, 3]]]]}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([{"b64": ""}, {"b64": "AA=="}, {"b64": None}, 10**400]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["image_bytes", "images", "regions", "b64", "x"]), inner)
    ),
    max_leaves=6,
)
requests = st.builds(
    lambda form, signature, value: {form: value, **signature},
    st.sampled_from(["instances", "inputs"]),
    st.sampled_from([{}, {"signature_name": "images"}, {"signature_name": "regions"}])
    | st.builds(lambda name: {"signature_name": name}, values),
    values,
)


def test_requests(port):
    @hostile(150)
    @given(
        body=st.one_of(
            damaged(json.dumps(SOUND).encode(), most=3),
            damaged(json.dumps(IMAGES).encode(), most=3),
            requests.map(lambda request: json.dumps(request).encode()),
        )
    )
    @example(body=json.dumps(SOUND).encode())
    @example(body=json.dumps(COLUMN).encode())
    @example(body=json.dumps({**COLUMN, "inputs": [1]}).encode())
    @example(body=json.dumps({"signature_name": [], **SOUND}).encode())
    @example(body=b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}")
    @example(body=b'{"instances": [{"b64": "' + b"\\u00e9" + b'"}]}')
    @example(body=b'{"signature_name": "regions", "inputs": [1e300, null]}')
    @example(body=b'{"signature_name": "images", "inputs": [[[[' + b"9" * 400 + b",0,0]]]]}")
    def check(body):
        status, answer = _post(port, body)
        assert status in (200, 400), (status, answer)
        if status == 400:
            assert answer["error"]
            assert body not in (json.dumps(SOUND).encode(), json.dumps(COLUMN).encode())
        else:
            assert answer.keys() <= {"predictions", "outputs"}

    check()
    assert _post(port, json.dumps(SOUND).encode())[0] == 200


@pytest.mark.parametrize("number", ["null", '"2"', "1e300", "-3.5e38", "9" * 40])
def test_numbers_that_are_none(port, number):
    zeros = json.dumps(np.zeros((1, 6, 32, 32, 3), int).tolist(), separators=(",", ":"))
    body = f'{{"signature_name": "regions", "inputs": {zeros}}}'.encode()
    assert _post(port, body)[0] == 200
    status, answer = _post(port, body.replace(b"0", number.encode(), 1))
    assert status == 400 and "values that are not numbers in -3.4" in answer["error"]


HEAD = b"POST /v1/models/ran:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


def test_heads_of_requests(port):
    @hostile(60)
    @given(data=damaged(HEAD, tokens=(b"\r\n", b"\0", b"\xb2", b" ", b"9" * 5000, b"%00", b"-1")))
    @example(data=HEAD.replace(b"Length: 2", b"Length: 3"))
    @example(data=HEAD.replace(b"Length: 2", b"Length: \xb2"))
    @example(data=HEAD.replace(b"Length: 2", b"Length: " + b"9" * 5000))
    @example(data=HEAD.replace(b"/ran:", b"/ran/versions/" + b"9" * 5000 + b":"))
    def check(data):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while block := connection.recv(2**16):
                answer += block
        # Nothing at all, where the client says less than it promises.
        assert b" 500 " not in answer.split(b"\r\n", 1)[0], answer

    check()
    assert _post(port, json.dumps(SOUND).encode())[0] == 200
