"""Requests that wait are joined: each gets its own rows, and a bad one harms itself alone."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.serving import batches, service
from tests.exports.test_export import random_faces
from tests.fixtures import rest_server


class Network:
    """Doubles its rows, and refuses negative ones. Notes what each call was given."""

    def __init__(self, *, parallel=1, most_rows=4):
        self.turn = threading.BoundedSemaphore(parallel)
        self.calls = []
        self.line = batches.Batches(self.run, turn=self.turn, most_rows=most_rows)
        self.pool = concurrent.futures.ThreadPoolExecutor(32)

    def run(self, signature, tensors):
        numbers = tensors["x"].numpy()
        self.calls.append((signature, numbers.shape))
        if (numbers < 0).any():
            raise ValueError("negative")
        return {"y": 2 * numbers}

    def ask(self, rows, *, signature="s", by_row=True, width=1):
        """A request of these numbers, each a row as often as it is wide."""
        numbers = np.repeat(np.array(rows, np.float32).reshape(-1, 1), width, axis=1)
        return self.line.answer({"x": tf.constant(numbers)}, signature=signature, by_row=by_row)

    @contextlib.contextmanager
    def busy(self):
        """All turns are taken until the block ends.

        Yields a function that asks in a thread, and returns the future when the request waits.
        """

        def ask(rows, **keywords):
            before = self.line.waiting
            future = self.pool.submit(self.ask, rows, **keywords)
            wait_until(lambda: self.line.waiting > before)
            return future

        with self.turn:
            yield ask


def wait_until(is_so):
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def rows_of(future):
    return future.result(timeout=20)["y"][:, 0].tolist()


def sizes(network):
    return [shape[0] for _, shape in network.calls]


def test_who_finds_the_network_free_waits_for_nobody():
    network = Network(parallel=2)
    with network.turn:  # the other turn is free
        assert network.ask([1])["y"].tolist() == [[2]]
        assert network.ask([2, 3])["y"].tolist() == [[4], [6]]
    assert sizes(network) == [1, 2]


def test_who_waits_is_joined_and_gets_the_own_rows():
    network = Network(most_rows=6)
    counted = []
    network.line.on_call = counted.append
    with network.busy() as ask:
        asked = [ask(rows) for rows in ([1], [2, 3], [4, 5, 6])]
    assert [rows_of(one) for one in asked] == [[2], [4, 6], [8, 10, 12]]
    assert sizes(network) == counted == [6]
    assert network.line.waiting == 0


@pytest.mark.parametrize(
    ("counts", "calls"),
    [
        ([3, 1, 2, 2], [4, 4]),
        ([3, 2, 2], [3, 4]),
        # More than the bound is one client's own wish.
        ([1, 9, 1], [2, 9]),
        ([0, 1, 0], [0, 0, 1]),
    ],
)
def test_a_call_of_several_has_a_bound(counts, calls):
    network = Network(most_rows=4)
    with network.busy() as ask:
        asked = [ask([i] * count) for i, count in enumerate(counts)]
    for i, (one, count) in enumerate(zip(asked, counts, strict=True)):
        assert rows_of(one) == [2 * i] * count
    assert sorted(sizes(network)) == calls


def test_large_requests_are_not_joined(monkeypatch):
    monkeypatch.setattr(batches, "MOST_BYTES", 16)
    network = Network()
    with network.busy() as ask:
        asked = [ask([i], width=width) for i, width in enumerate((5, 5, 2, 2, 2))]
    assert [rows_of(one) for one in asked] == [[0], [2], [4], [6], [8]]
    assert sorted(shape for _, shape in network.calls) == [(1, 2), (1, 5), (1, 5), (2, 2)]


def test_bytes_of_texts_count(monkeypatch):
    monkeypatch.setattr(batches, "MOST_BYTES", 16)
    network = Network()
    network.line = batches.Batches(
        lambda _, tensors: {"y": np.full((len(tensors["x"]), 1), len(tensors["x"]))},
        turn=network.turn,
        most_rows=9,
    )
    network.ask = lambda text: network.line.answer(
        {"x": tf.constant([text])}, signature="s", by_row=True
    )
    with network.busy() as ask:
        asked = [ask(bytes(size)) for size in (15, 1, 1, 2, 17)]
    assert [rows_of(one) for one in asked] == [[2], [2], [2], [2], [1]]


def test_kinds_are_not_mixed():
    network = Network()
    with network.busy() as ask:
        asked = [
            ask([1]),
            ask([2], width=3),
            ask([3], signature="t"),
            ask([4], by_row=False),
            ask([5]),
            ask([6], width=3),
            ask([7], by_row=False),
        ]
    assert [rows_of(one) for one in asked] == [[2 * i] for i in range(1, 8)]
    assert sorted(network.calls) == [
        ("s", (1, 1)),
        ("s", (1, 1)),
        ("s", (2, 1)),
        ("s", (2, 3)),
        ("t", (1, 1)),
    ]


def test_a_bad_request_fails_alone():
    network = Network()
    with network.busy() as ask:
        good, bad, other = ask([1]), ask([-1]), ask([2])
    assert (rows_of(good), rows_of(other)) == ([2], [4])
    with pytest.raises(ValueError, match="negative"):
        rows_of(bad)
    assert network.ask([3])["y"].tolist() == [[6]]


def test_a_network_that_does_not_answer_by_row_is_asked_for_each():
    network = Network()
    network.line = batches.Batches(
        lambda *_: {"y": np.zeros((1, 1))}, turn=network.turn, most_rows=4
    )
    with network.busy() as ask:
        asked = [ask([i]) for i in range(3)]
    assert [rows_of(one) for one in asked] == [[0]] * 3


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_who_has_gone_is_left_out(gone):
    """Even who was to call the network for the others."""
    network = Network()
    ask, tickets = network.line.answer, [concurrent.futures.Future() for _ in range(3)]
    network.line.answer = lambda *arguments, **keywords: ask(
        *arguments, ticket=tickets[int(arguments[0]["x"][0, 0])], **keywords
    )
    with network.busy() as ask_and_wait:
        asked = [ask_and_wait([i]) for i in range(3)]
        assert tickets[gone].cancel()
    for i, one in enumerate(asked):
        if i == gone:
            with pytest.raises(concurrent.futures.CancelledError):
                rows_of(one)
        else:
            assert rows_of(one) == [2 * i]
            assert not tickets[i].cancel()
    assert sizes(network) == [2]


def test_nobody_starves():
    """A crowd asks without pause. A request of another kind and a photo have their turns, too."""
    network = Network()
    over = threading.Event()

    def crowd():
        while not over.is_set():
            network.ask([1])

    for _ in range(16):
        network.pool.submit(crowd)
    try:
        for _ in range(20):
            other = network.pool.submit(network.ask, [3], width=2)
            assert rows_of(other) == [6]
            assert network.turn.acquire(timeout=20)
            network.turn.release()
    finally:
        over.set()
        network.pool.shutdown()


# -- in the server ---------------------------------------------------------------------------------


@pytest.fixture
def model(small_export):
    return service.ModelService(small_export.path, max_joined=8)


FACES = random_faces(16, 20, 20)
PNGS = [tf.io.encode_png(face).numpy() for face in FACES]


def test_joined_answers_are_those_of_lone_requests(model):
    """16 clients, two signatures, and among the images some that are none."""

    def inputs(i):
        if i % 2:
            return {"inputs": {"images": FACES[i : i + 1]}, "signature": "images"}
        return {"inputs": {"image_bytes": [PNGS[i]]}, "signature": "serving_default"}

    lone = [model.predict(**inputs(i)).outputs for i in range(16)]
    calls = []
    model.batches.on_call = calls.append

    def client(i):
        for _ in range(6):
            said = model.predict(**inputs(i)).outputs
            for name, value in lone[i].items():
                assert said[name].shape == value.shape
                np.testing.assert_allclose(said[name], value, atol=1e-6, err_msg=name)
            if i == 6:
                with pytest.raises(service.BadRequestError, match=r"image_bytes\[0\]"):
                    model.predict({"image_bytes": [PNGS[i][:-12]]}, signature="serving_default")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        with model.turn, model.turn:
            clients = [pool.submit(client, i) for i in range(16)]
            wait_until(lambda: model.batches.waiting == 16)
        for done in clients:
            done.result()
    assert sum(calls) == 6 * 16
    # The first requests all waited.
    assert calls.count(8) >= 2 and max(calls) == 8


def ask_rest(port, image):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        body = json.dumps({"instances": [{"b64": base64.b64encode(image).decode()}]})
        connection.request("POST", "/v1/models/ran:predict", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_rest_and_grpc_share_calls(model):
    grpc = pytest.importorskip("grpc")
    pytest.importorskip("tensorflow_serving")
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from ran_tf.serving import grpc_service

    lone = [
        model.predict({"image_bytes": [png]}, signature="serving_default").outputs for png in PNGS
    ]
    bound = grpc_service.make_server(model, host="127.0.0.1", port=0, max_request_bytes=2**20)
    bound["server"].start()

    def ask_grpc(image):
        request = predict_pb2.PredictRequest(model_spec={"name": "ran"})
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return tf.make_ndarray(stub.Predict(request, timeout=60).outputs["probabilities"])

    with (
        rest_server.serve(model) as port,
        grpc.insecure_channel(f"127.0.0.1:{bound['port']}") as channel,
        concurrent.futures.ThreadPoolExecutor(6) as pool,
    ):
        with model.turn, model.turn:
            by_rest = [pool.submit(ask_rest, port, PNGS[i]) for i in range(3)]
            by_grpc = [pool.submit(ask_grpc, PNGS[i]) for i in range(3, 6)]
            wait_until(lambda: model.batches.waiting == 6)
        for i, asked in enumerate(by_rest):
            status, said = asked.result()
            (row,) = said["predictions"]
            assert status == 200
            np.testing.assert_allclose(row["probabilities"], lone[i]["probabilities"][0], atol=1e-6)
        for i, asked in enumerate(by_grpc, 3):
            np.testing.assert_allclose(asked.result(), lone[i]["probabilities"], atol=1e-6)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            metrics = connection.getresponse().read().decode()
        assert "ran_call_crops_sum 6.0" in metrics and "ran_call_crops_count 1.0" in metrics
    bound["server"].stop(None).wait()
