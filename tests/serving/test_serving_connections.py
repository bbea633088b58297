"""Connections to the REST server: those that stall, leave, wait or are too many, and its end."""

import contextlib
import threading
import time

import numpy as np
import pytest

from ran_tf.serving import service
from tests.fixtures import rest_server
from tests.fixtures.rest_client import GET, LENGTH, PREDICT, connect, post, read_all, statuses


@pytest.fixture(scope="module")
def model():
    return rest_server.GatedModel()


@pytest.mark.parametrize(
    ("begins", "want"),
    [
        (b"", []),
        (GET[:10], []),
        (GET + GET[:10], [200]),
        (post(b"Content-Length: 50"), [408]),
        (post(b"Content-Length: 50", line=b"POST /a HTTP/1.1"), [404]),
        (post(b"Content-Length: 5000"), [413]),
    ],
)
def test_a_client_that_stalls_is_let_go(model, begins, want):
    """A byte now and then does not keep a connection."""
    with (
        rest_server.serve(
            model, max_request_bytes=1000, head_seconds=0.5, body_seconds=0.5, idle_seconds=1
        ) as port,
        connect(port) as client,
    ):
        client.sendall(begins)
        client.settimeout(0.1)
        began, said = time.monotonic(), b""
        while time.monotonic() < began + 10:
            try:
                client.sendall(b"a")
                block = client.recv(2**16)
            except TimeoutError:
                continue
            except OSError:
                break
            said += block
            if not block:
                break
        assert time.monotonic() < began + 5
        assert statuses(said) == want


@pytest.mark.parametrize("headers", [(), (b"Connection: close",)])
def test_an_answer_that_nobody_takes_is_thrown_away(model, monkeypatch, headers):
    long = service.Answer(outputs={"label": np.zeros((1, 4 * 10**6), np.int64)}, note=None)
    monkeypatch.setattr(model, "answer", lambda *_, **__: long)
    with rest_server.serve(model, head_seconds=0.5) as port, connect(port) as client:
        client.sendall(post(LENGTH.strip(), *headers))
        assert client.recv(10)
        time.sleep(1)
        assert len(read_all(client)) < 10**7  # of 12 MB


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_has_begun_is_answered_when_the_server_stops():
    model = rest_server.GatedModel()
    model.gate.clear()
    with contextlib.ExitStack() as clients:
        with rest_server.serve(model) as port:
            waiting = [clients.enter_context(connect(port)) for _ in range(5)]
            for client in waiting:
                client.sendall(PREDICT)
            idle = clients.enter_context(connect(port))
            # Two run, three wait for their turn.
            wait_until(lambda: model.calls == model.parallel)
            opened = threading.Timer(0.5, model.gate.set)
            opened.start()
        opened.join()
        assert model.calls == 5
        for client in waiting:
            assert statuses(read_all(client)) == [200]
        assert read_all(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_who_goes_away_is_not_worked_for_and_who_waits_too_long_is_told():
    model = rest_server.GatedModel()
    model.gate.clear()
    with contextlib.ExitStack() as opened, rest_server.serve(model, queue_seconds=1) as port:
        try:
            busy = [opened.enter_context(connect(port)) for _ in range(model.parallel)]
            for client in busy:
                client.sendall(PREDICT)
            wait_until(lambda: model.calls == model.parallel)
            with connect(port) as leaves, connect(port) as waits, connect(port) as asks:
                leaves.sendall(PREDICT)
                leaves.close()
                waits.sendall(PREDICT)
                assert b" 503 " in waits.recv(2**16)
                # The loop goes on with what is cheap.
                asks.sendall(GET)
                assert b" 200 " in asks.recv(2**16)
        finally:
            model.gate.set()
        for client in busy:
            assert b" 200 " in client.recv(2**16)
        assert model.calls == model.parallel


def test_bodies_together_are_bounded(model):
    with rest_server.serve(model, max_request_bytes=1000) as port, contextlib.ExitStack() as opened:
        clients = [opened.enter_context(connect(port)) for _ in range(4)]
        for client in clients:
            client.sendall(post(b"Content-Length: 1000", body=b" " * 999))
        time.sleep(0.3)
        with connect(port) as one_more:
            one_more.sendall(post(b"Content-Length: 1000", body=b" " * 999))
            assert b" 503 " in one_more.recv(2**16)
        for client in clients:
            client.sendall(b"{")
            assert b" 400 " in client.recv(2**16)
        with connect(port) as client:
            client.sendall(PREDICT)
            assert b" 200 " in client.recv(2**16)


def test_connections_are_bounded(model):
    with rest_server.serve(model, connections=5) as port, contextlib.ExitStack() as opened:
        for _ in range(5):
            opened.enter_context(connect(port))
        with connect(port) as one_more:
            one_more.sendall(GET)
            assert statuses(read_all(one_more)) == [503]
        opened.close()
        time.sleep(0.2)
        with connect(port) as client:
            client.sendall(GET)
            assert b" 200 " in client.recv(2**16)
