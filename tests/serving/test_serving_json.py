"""JSON of hostile size and shape: its cost, and what it is read as."""

import json
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.serving import rest_json, service

IMAGES = {"images": service.Argument(tf.uint8, tf.TensorShape([None, None, None, 3]))}
REGIONS = {"regions": service.Argument(tf.float32, tf.TensorShape([None, 1, 2, 2, 3]))}
BYTES = {"image_bytes": service.Argument(tf.string, tf.TensorShape([None]))}
TWO = {**IMAGES, **BYTES}


def read(body: bytes, arguments: dict):
    return rest_json.read_inputs(rest_json.parse_request(body), arguments=arguments)


@pytest.mark.parametrize("arguments", [IMAGES, REGIONS, BYTES], ids=lambda a: next(iter(a)))
@pytest.mark.parametrize(
    "item",
    [b"[]", b"{}", b'""', b"0", b"[0,0,0]", b'{"a":[]}', b"[[[[]]]]", b'{"b64":""}'],
)
def test_a_request_takes_a_few_times_its_bytes(arguments, item):
    count = 2**22 // (len(item) + 1)
    body = b'{"instances":[' + item + (b"," + item) * (count - 1) + b"]}"
    tracemalloc.start()
    try:
        read(body, arguments)
    except service.BadRequestError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10 * len(body), peak / len(body)


@pytest.mark.parametrize(
    "text",
    [
        *("[1]", "[[1]]", "[[1,2],[3,4]]", "[[[1],[2]],[[3],[4]]]", " [ [ 1 , 2 ]\n, [3,\t4] ] "),
        *("[-1.5e3,2E-2,0,-0,1e-400]", "[[255,0,1]]", "7", "-0.5", "[[[[[[[[1]]]]]]]]"),
    ],
)
def test_numbers_are_read_as_json_reads_them(text):
    argument = {"x": service.Argument(tf.float64, tf.TensorShape(None))}
    got = read(f'{{"inputs": {text}}}'.encode(), argument)["x"]
    np.testing.assert_array_equal(got, np.array(json.loads(text)))


def test_many_numbers_are_read_in_their_places():
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((50, 40, 30, 3))  # more than one piece of text
    body = json.dumps({"inputs": numbers.tolist()}).encode()
    argument = {"x": service.Argument(tf.float64, tf.TensorShape(None))}
    np.testing.assert_array_equal(read(body, argument)["x"], numbers)
    faces = rng.integers(0, 256, (50, 40, 90, 3))
    body = json.dumps({"instances": [{"images": face.tolist()} for face in faces]}).encode()
    np.testing.assert_array_equal(read(body, IMAGES)["images"], faces)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, "equal lengths") for text in ("[1,[2]]", "[[1],2]", "[[1,2],[3]]", "[[[1]],[2]]")),
        *((text, "equal lengths") for text in ("[[1],[[2]]]", "[[[1],[2]],[[3]]]", "[[1],[2,3]]")),
        *((text, "is empty") for text in ("[[]]", "[[1],[]]", "[[],[1]]", "[]", "[[[]],[[]]]")),
        *((text, "not integers") for text in ("[1.0]", "[1e2]", "[true]", '["1"]', "[null]")),
        *((text, "not integers") for text in ("[99999999999999999999]", '[{"b64":"AA=="}]')),
        *((text, "JSON Parse Error") for text in ("[NaN]", "[Infinity]", "[1,]", "[01]", "[1.]")),
        *((text, "JSON Parse Error") for text in ("[+1]", "[1}", "[0x1]", "[1 2]", "nan", "")),
        ("[" * 9 + "1" + "]" * 9, "more than 8 axes"),
        ('["]"]', "equal lengths"),
        ('["[[[["]', "equal lengths"),
    ],
)
def test_what_is_no_tensor(text, message):
    with pytest.raises(service.BadRequestError, match=message):
        read(f'{{"inputs": {text}}}'.encode(), IMAGES)


@pytest.mark.parametrize(
    "text",
    [r"\ud800", r"\udc00", r"\ud800\ud800", r"a\ud800", r"\ud800b", r"\udbff\u0061", "\x00", "\n"],
)
@pytest.mark.parametrize("where", ["value", "b64", "signature", "key", "elsewhere"])
def test_text_that_is_none(text, where):
    body = {
        "value": '{"instances": ["%s"]}',
        "b64": '{"instances": [{"b64": "%s"}]}',
        "signature": '{"signature_name": "%s", "instances": ["a"]}',
        "key": '{"instances": [{"%s": "a"}]}',
        "elsewhere": '{"a": "%s", "instances": ["a"]}',
    }[where]
    with pytest.raises(service.BadRequestError):
        read((body % text).encode(), BYTES)


def test_bytes_and_text():
    for form in ("inputs", "instances"):
        body = {form: [{"b64": "/wA="}, "é😀", {"b64": ""}, ""]}
        want = [b"\xff\0", "é😀".encode(), b"", b""]
        for text in (json.dumps(body), json.dumps(body, ensure_ascii=False)):
            assert read(text.encode(), BYTES) == {"image_bytes": want}
    assert read(b'{"instances": [{"image_bytes": {"b64": "/w=="}}]}', BYTES) == {
        "image_bytes": [b"\xff"]
    }


def test_a_signature_of_two_arguments():
    row = {"images": [[[1, 2, 3]]], "image_bytes": {"b64": "/w=="}}
    for body in ({"instances": [row]}, {"inputs": {name: [value] for name, value in row.items()}}):
        got = read(json.dumps(body).encode(), TWO)
        assert got["image_bytes"] == [b"\xff"] and got["images"].shape == (1, 1, 1, 3)
    for body in ({"instances": [1]}, {"instances": [{"b64": ""}]}, {"inputs": {"images": [1]}}):
        with pytest.raises(service.BadRequestError, match=r"must name"):
            read(json.dumps(body).encode(), TWO)
