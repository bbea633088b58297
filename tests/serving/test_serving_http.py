"""Bytes on a socket to the REST server: one answer to each request, and none that is lost."""

import contextlib
import socket

import pytest

from tests.fixtures import rest_server
from tests.fixtures.rest_client import (
    BODY,
    GET,
    LENGTH,
    POST,
    PREDICT,
    connect,
    get,
    in_chunks,
    post,
    read_all,
    statuses,
)


@pytest.fixture(scope="module")
def port():
    model = rest_server.GatedModel()
    with rest_server.serve(model, max_request_bytes=1000, connections=40) as port:
        yield port


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
