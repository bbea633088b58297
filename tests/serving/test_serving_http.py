"""Bytes on a socket to the REST server: one answer to each request, and none that is lost."""

import contextlib
import re
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from ran_tf.serving import batches, service
from tests.fixtures import rest_server

TEXT = service.Argument(dtype=tf.string, shape=tf.TensorShape([None]))


class Model:
    """Answers as an export does, at once or when `gate` opens, each request by itself."""

    name, version, parallel, signature_def = "ran", 1, 2, {}

    def __init__(self):
        self.turn = threading.BoundedSemaphore(self.parallel)
        self.batches = batches.Batches(self.run, turn=self.turn, most_rows=1)
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0

    def find(self, *, name, version=None):
        if name != self.name or version not in (None, self.version):
            raise service.NotServedError("Servable not found")

    def arguments(self, _):
        return {"image_bytes": TEXT}

    def read(self, inputs, *, signature):
        return service.Asked(signature, {"image_bytes": tf.constant(inputs["image_bytes"])})

    def run(self, _, tensors):
        self.calls += 1
        self.gate.wait(30)
        return {"label": np.arange(len(tensors["image_bytes"]))}

    def answer(self, asked, *, ticket):
        outputs = self.batches.answer(
            asked.tensors, signature=asked.signature, by_row=True, ticket=ticket
        )
        return service.Answer(outputs=outputs, note=None)


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture(scope="module")
def port(model):
    with rest_server.serve(model, max_request_bytes=1000, connections=40) as port:
        yield port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while block := client.recv(2**16):
            data += block
    return data


def statuses(data: bytes) -> list[int]:
    """Of all answers in what a server said; each must be whole."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        found.append(int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1]))
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length:
            assert len(rest) >= int(length[1])
            rest = rest[int(length[1]) :]
        elif found[-1] != 100:
            rest = b""  # to the end of the connection
        data = rest
    return found


GET = b"GET /v1/models/ran HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b'{"instances": ["a"]}'
POST = b"POST /v1/models/ran:predict HTTP/1.1\r\nHost: a\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
PREDICT = POST + LENGTH + b"\r\n" + BODY


def get(*headers: bytes, line: bytes = b"GET /v1/models/ran HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: a", *headers, b"", b""])


def post(*headers: bytes, body: bytes = BODY, line: bytes = POST.split(b"\r\n")[0]) -> bytes:
    return b"\r\n".join([line, b"Host: a", *headers, b"", b""]) + body


def in_chunks(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


CHUNKED = b"Transfer-Encoding: chunked"
EXPECT = b"Expect: 100-continue"
LONG = b"Content-Length: %d" % len(GET)
HIDDEN = b"0\r\n\r\n" + GET

# What is sent, and the statuses of what comes back before the server closes.
CASES = {
    # One request, one answer.
    **{
        name: (data, [200])
        for name, data in {
            "get": GET,
            "predict": PREDICT,
            "a query": get(line=b"GET /v1/models/ran?a=b HTTP/1.1"),
            "1.0": get(line=b"GET /v1/models/ran HTTP/1.0"),
            "1.0 without a host": b"GET /v1/models/ran HTTP/1.0\r\n\r\n",
            "lines that end in LF": GET.replace(b"\r\n", b"\n"),
            "a folded header": get(b"Accept: a,", b" b"),
            "bytes that are no ASCII in a header": get(b"Accept: \xff\xe9"),
            "100 headers": get(*[b"A: b"] * 100),
            "expect in 1.0": post(LENGTH.strip(), EXPECT, line=POST[:33] + b"1.0"),
            "another expectation": post(LENGTH.strip(), b"Expect: a"),
            "a websocket": get(b"Connection: Upgrade", b"Upgrade: websocket"),
            "h2c": get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
            "an absolute address": get(line=b"GET http://a/v1/models/ran HTTP/1.1"),
        }.items()
    },
    "head": (get(line=b"HEAD /v1/models/ran HTTP/1.1"), "head"),
    "expect": (post(LENGTH.strip(), EXPECT), [100, 200]),
    # Many requests on one connection.
    "three gets": (GET * 3, [200] * 3),
    "twenty predictions": (PREDICT * 20, [200] * 20),
    "mixed": (GET + PREDICT + GET + PREDICT, [200] * 4),
    "a wrong one among good ones": (
        GET + PREDICT.replace(b'"a"', b"7  ") + GET + post(b"Content-Length: 2", body=b"{}") + GET,
        [200, 400, 200, 400, 200],
    ),
    "missing ones": (get(line=b"GET /a HTTP/1.1") * 2 + GET, [404, 404, 200]),
    "closed by the first": (get(b"Connection: close") + GET, [200]),
    "closed by the first, in capitals": (get(b"Connection: Keep-Alive, CLOSE") + GET, [200]),
    "1.0, then another": (get(line=b"GET /v1/models/ran HTTP/1.0") + GET, [200]),
    "a whole and half of one": (GET + GET[:20], [200]),
    "a whole and a part of a body": (GET + PREDICT[:-3], [200]),
    "a whole and garbage": (GET + b"\0\1\2\3\r\n\r\n", [200, 400]),
    "a body that nobody reads, and another": (
        post(LENGTH.strip(), line=b"POST /a HTTP/1.1") + GET,
        [404, 200],
    ),
    "a body of a wrong method, and another": (
        post(LENGTH.strip(), line=b"PUT /v1/models/ran HTTP/1.1") + GET,
        [404, 200],
    ),
    # A second request hidden in what may be a body.
    "in the body of a get": (get(LONG) + GET, [200]),
    "in the body of a get, and another": (get(LONG) + GET + GET, [200, 200]),
    "in the body of a head": (get(LONG, line=b"HEAD /v1/models/ran HTTP/1.1") + GET, "head"),
    "in the body of a prediction": (post(LONG, body=GET), [400]),
    "behind two lengths": (post(b"Content-Length: 0", LONG, body=GET), [400]),
    "behind two lengths, otherwise": (post(LONG, b"Content-Length: 0", body=GET), [400]),
    "behind two lengths in one": (post(b"Content-Length: 0, %d" % len(GET), body=GET), [400]),
    "behind one length twice": (post(LENGTH.strip(), LENGTH.strip()) + GET, [200, 200]),
    **{
        f"behind chunks and a length, {name}": (data, [411])
        for name, data in {
            "a length first": post(LENGTH.strip(), CHUNKED, body=HIDDEN),
            "a length last": post(CHUNKED, LONG, body=HIDDEN),
            "of a get": get(CHUNKED, LONG) + HIDDEN,
            "of what is missing": get(CHUNKED, LONG, line=b"GET /a HTTP/1.1") + HIDDEN,
            "in 1.0": get(CHUNKED, LONG, line=b"GET /v1/models/ran HTTP/1.0") + HIDDEN,
            "in a folded name": post(b"Transfer-Encoding:", b" chunked", LONG, body=HIDDEN),
            "in capitals": post(b"TRANSFER-ENCODING: CHUNKED", LONG, body=HIDDEN),
            "chunks alone": post(CHUNKED, body=in_chunks(BODY)),
        }.items()
    },
    **{
        f"behind {name!r}": (post(name, LONG, body=HIDDEN), [400])
        for name in (
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: chunked;q=1",
            b"Transfer-Encoding: \x0bchunked",
            b"Transfer-Encoding: chunked\x00",
            b"Transfer-Encoding: ch\runked",
            b"Transfer-Encoding: 'chunked'",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding:",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\t: chunked",
            b" Transfer-Encoding: chunked\r\nContent-Length : 3",
            b"Transfer\x00-Encoding: chunked",
            b"Content-Length : 0",
            b"Content-Length\x00: 0",
        )
    },
    **{
        f"chunks of {size!r}": (post(CHUNKED, body=size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), None)
        for size in (
            *(b"", b"-1", b"+14", b"0x14", b" 14", b"14 ", b"1 4", b"g", b"14;a=b", b"14;\n"),
            *(b"f" * 15, b"f" * 30, b"00000014", b"14\n"),
        )
    },
    **{
        f"length {value!r}": (post(b"Content-Length: " + value), [400])
        for value in (
            *(b"", b"-1", b"+20", b"0x14", b"2e1", b"20.0", b"2 0", b"20;", b"'20'", b"\xb2"),
            *(b"9" * 21, b"9" * 5000, b"20\x00", b"20,", b",20", b"\x0b20", b"1_0"),
        )
    },
    "no length": (post(body=b""), [411]),
    "no length, but a body": (post() + GET, [411, 400]),
    "length 0": (post(b"Content-Length: 0", body=b"") + GET, [400, 200]),
    "a body that is too long": (post(b"Content-Length: 1001", body=b"a" * 1001) + GET, [413]),
    "a body that is too long and does not come": (post(b"Content-Length: 99999"), []),
    "a body that is shorter than its length": (post(b"Content-Length: 25"), []),
    "a body that is longer than its length": (post(b"Content-Length: 18") + GET, [400, 400]),
    # Heads that are none.
    "nothing": (b"", []),
    "SSH": (b"SSH-2.0-a\r\n", []),
    "2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    **{
        name: (data, [400])
        for name, data in {
            "lines without a request": b"\r\n\r\n",
            "0.9": b"GET /v1/models/ran\r\n\r\n",
            "1.10": get(line=b"GET /v1/models/ran HTTP/1.10"),
            "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(180),
            "no host": b"GET /v1/models/ran HTTP/1.1\r\n\r\n",
            "two hosts": get(b"Host: b"),
            "a NUL in a header": get(b"A: b\0c"),
            "a NUL in a path": get(line=b"GET /v1/models/ran\0 HTTP/1.1"),
            "CR in a header": get(b"A: b\rContent-Length: 3"),
            "a space in a path": get(line=b"GET /v1/models/ran a HTTP/1.1"),
            "a tab in a line": get(line=b"GET\t/v1/models/ran HTTP/1.1"),
            "two spaces in a line": get(line=b"GET  /v1/models/ran HTTP/1.1"),
            "no path": get(line=b"GET HTTP/1.1"),
            "bytes that are no ASCII in a path": get(line=b"GET /\xe9 HTTP/1.1"),
            "no colon": get(b"Accept"),
            "no name": get(b": a"),
            "a folded line first": b"GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n",
            "a head of 100 KB": get(b"A: " + b"b" * 100_000),
            "a head that does not end": GET[:-2] + b"A: b\r\n" * 20_000,
            "a path of 100 KB": get(line=b"GET /" + b"a" * 100_000 + b" HTTP/1.1"),
            "a method of 100 KB": b"A" * 100_000,
        }.items()
    },
    # Heads of what is not served.
    **{
        f"{line!r}": (get(line=line + b" HTTP/1.1"), [404])
        for line in (
            *(b"OPTIONS *", b"CONNECT a:1", b"TRACE /v1/models/ran", b"BREW /v1/models/ran"),
            *(b"get /v1/models/ran", b"GET /v1/models/ran/", b"GET //v1/models/ran", b"GET a"),
            *(b"GET /v1/models/ran:predict", b"POST /v1/models/ran", b"GET /v1/models/%00"),
            *(b"GET /v1/models/ran/../ran", b"GET /v1/models/%2e%2e", b"GET /%ff%fe%ed%a0%80"),
            *(
                b"GET /v1/models/ran/versions/" + b"9" * 5000,
                b"GET /v1/models/ran/versions/\xc2"[:-1],
            ),
            *(b"GET /v1/models/ran/versions/-1", b"GET /v1/models/ran/versions/%C2%B2"),
            *(b"GET http:///v1/models/ran", b"GET ?", b"GET #", b"GET http://a"),
        )
    },
}


@pytest.mark.parametrize("case", CASES)
def test_answers(port, case):
    sent, want = CASES[case]
    with connect(port) as client:
        with contextlib.suppress(OSError):  # refused before all was sent
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        said = read_all(client)
    if want == "head":
        assert said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"\r\n\r\n")
        assert said.count(b"HTTP/1.1") == 1
    elif want is None:  # refused in one of two ways
        assert statuses(said) in ([400], [411], [404])
    else:
        assert statuses(said) == want


@pytest.mark.parametrize("length", [1001, 10**18])
def test_a_body_that_is_too_long_is_not_asked_for(port, length):
    head = post(b"Content-Length: %d" % length, EXPECT, body=b"")
    with connect(port) as client:
        client.sendall(head + GET)
        assert statuses(read_all(client)) == [413]


def test_a_byte_at_a_time(port):
    with connect(port) as client:
        for i in range(len(PREDICT)):
            client.sendall(PREDICT[i : i + 1])
        client.shutdown(socket.SHUT_WR)
        assert statuses(read_all(client)) == [200]


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
    model = Model()
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
    model = Model()
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
