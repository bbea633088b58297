"""What reaches the demo page's application: without Gradio."""

import asyncio
import re
import socket
import subprocess
import sys

import pytest

from ran_tf.demo import gate, hosts
from tests.fixtures.demo_requests import (
    EVENTS,
    LOOPBACK,
    OTHER,
    OWN,
    TAKES_NONE,
    an_event,
    ask,
    join,
    speak,
)

MIB = 2**20


@pytest.mark.parametrize(
    ("listens", "allowed", "refused"),
    [
        (
            "127.0.0.1",
            ["127.0.0.1", "127.0.0.1:7860", "localhost:9000", "LOCALHOST", "[::1]:7860"],
            ["evil.example", "127.0.0.1.evil.example", "localhost.", "10.0.0.7", "", "a b", "[::1"],
        ),
        ("localhost", ["localhost:1", "127.0.0.1"], ["evil.example"]),
        ("::1", ["[::1]:7860", "localhost"], ["[::2]", "::1"]),
        (
            "0.0.0.0",
            ["10.0.0.7:7860", "[fe80::1]", "localhost", "192.168.1.9"],
            ["evil.example:7860", "10.0.0.7.evil.example", "10.0.0", "user@localhost", "1.2.3.4/"],
        ),
        ("10.0.0.7", ["10.0.0.7:7860"], ["localhost", "10.0.0.8", "evil.example"]),
        ("box.lan", ["box.lan:7860"], ["localhost", "lan"]),
    ],
)
def test_names_of_where_the_page_listens(listens, allowed, refused, waiting):
    names = hosts.find_hosts(listens)
    assert [h for h in [*allowed, *refused] if names.allow_host(h)] == allowed
    for host in [*allowed, *refused]:
        got, answer = ask("/", names=names, waiting=waiting, host=host)
        assert (got is not None, answer["status"]) == (host in allowed, 200 if got else 421), host


def test_a_proxy_has_names_of_its_own(waiting):
    names = hosts.find_hosts("127.0.0.1", allowed=["demo.example.org"])
    outside = {"origin": "https://demo.example.org", "waiting": waiting, "names": names}
    for more in (
        {"host": "demo.example.org"},
        {"x_forwarded_host": "demo.example.org"},
        {"host": "demo.example.org:8443"},
    ):
        assert ask("/", **outside, **more)[0]
    for name in ("evil.example", "demo.example.org, evil.example"):
        _, answer = ask("/", **outside, x_forwarded_host=name)
        assert answer["status"] == 421 and "--allowed_hosts" in answer["text"]
    for name in ("https://demo.example.org", "demo.example.org:80", "*", "", "a b"):
        with pytest.raises(ValueError, match="--allowed_hosts.*Received"):
            hosts.find_hosts("127.0.0.1", allowed=[name])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        *((origin, 200) for origin in (None, "http://127.0.0.1:7860")),
        *((f"http://{name}", 403) for name in ("localhost:7860", "127.0.0.1:8888", "127.0.0.1")),
        *((origin, 403) for origin in ("https://evil", "null", "", "file://127.0.0.1:7860")),
    ],
)
def test_only_its_own_page_may_speak_to_it(origin, status, waiting):
    assert ask("/config", waiting=waiting, origin=origin)[1]["status"] == status


def test_a_request_has_one_host_and_one_length(waiting):
    assert ask("/", waiting=waiting, host=None)[1]["status"] == 400
    for path in ("/", "/nowhere"):
        _, answer = ask(path, waiting=waiting, content_length="3", transfer_encoding="chunked")
        assert answer["status"] in (400, 404) and answer["headers"][b"connection"] == b"close"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/config?deep_link=x"),
        ("GET", "/theme.css?v=1"),
        ("GET", "/assets/index-a_b.js"),
        ("GET", "/static/img/logo.svg"),
        ("GET", "/gradio_api/file=/nowhere/x/photo"),
        ("GET", "/gradio_api/upload_progress?upload_id=x"),
        ("POST", "/gradio_api/upload?upload_id=x"),
    ],
)
def test_what_the_page_asks_for_passes_without_its_query(method, path, waiting):
    got, _ = ask(path, method=method, waiting=waiting, cookie=OWN, authorization="x", range="y")
    assert got["query_string"] == b"" and got["path"] == path.partition("?")[0]
    assert [name for name, _ in got["headers"]] == [b"host"]
    assert got["state"]["visitor"] == "a" * 32


REFUSED = r"""method path; POST /; OPTIONS /; GET /gradio_api/upload; GET /gradio_api/queue/join
POST /gradio_api/queue/data; POST /gradio_api/file=/etc/passwd
HEAD /gradio_api/file=/etc/passwd; GET /assets/../../etc/passwd
GET /assets/..%2f..%2fetc/passwd; GET /static/\..\x; GET //etc/passwd; GET /config/
GET /gradio_api/file/etc/passwd; GET /file=/etc/passwd; GET /gradio_api/proxy=http://127.0.0.1/
GET /gradio_api/deep_link; POST /gradio_api/run/predict; POST /gradio_api/api/take_photo
POST /gradio_api/call/take_photo; POST /gradio_api/call/v2/take_photo
GET /gradio_api/call/take_photo/1; POST /gradio_api/component_server
POST /gradio_api/process_recording; POST /gradio_api/stream/1
GET /gradio_api/stream/s/1/2/playlist-file; POST /gradio_api/cancel; POST /gradio_api/reset
POST /gradio_api/vibe-edit; GET /gradio_api/custom_component/a/client/b/c; GET /gradio_api/info
GET /gradio_api/openapi.json; GET /gradio_api/runs; GET /gradio_api/token
GET /gradio_api/dev/reload; POST /login; GET /logout; GET /pwa_icon/100000; GET /monitoring
GET /svelte/svelte.js"""


@pytest.mark.parametrize("line", [*re.split("[;\n] ?", REFUSED), "GET /assets/" + "a/" * 200])
def test_all_else_is_refused(line, waiting):
    method, _, path = line.partition(" ")
    got, answer = ask(path, method=method, waiting=waiting, cookie=OWN)
    assert got is None and answer["status"] == 404


def test_a_websocket_is_closed(waiting):
    sent = []

    async def send(message):
        sent.append(message)

    guarded = gate.guard(None, hosts=LOOPBACK, uploads=waiting, events=EVENTS)
    asyncio.run(guarded({"type": "websocket", "path": "/"}, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_every_browser_gets_a_cookie_once(waiting):
    names = set()
    for cookie in (None, "ran_tf_visitor=short", f"x={OWN}", "ran_tf_visitor=" + "é" * 32):
        got, answer = ask("/", waiting=waiting, cookie=cookie)
        name = got["state"]["visitor"]
        attributes = answer["headers"][b"set-cookie"].decode().split("; ")
        assert attributes == [f"ran_tf_visitor={name}", "Path=/", "HttpOnly", "SameSite=Strict"]
        names.add(name)
    assert len(names) == 4
    got, answer = ask("/", waiting=waiting, cookie=f"other=1; {OWN}")
    assert got["state"]["visitor"] == "a" * 32 and b"set-cookie" not in answer["headers"]


def test_a_session_is_of_one_visitor(waiting):
    """Its name is made in the browser and not secret; Gradio hears another for each visitor."""
    heard = set()
    for cookie in (OWN, OTHER):
        event, _ = join(an_event(), waiting=waiting, cookie=cookie)
        stream, _ = ask(
            "/gradio_api/queue/data?session_hash=s1&x=2", waiting=waiting, cookie=cookie
        )
        beat, _ = ask("/gradio_api/heartbeat/s1", waiting=waiting, cookie=cookie)
        assert stream["query_string"].decode() == f"session_hash={event['session_hash']}"
        assert beat["path"] == f"/gradio_api/heartbeat/{event['session_hash']}"
        heard.add(event["session_hash"])
    assert len(heard) == 2
    for path in ("heartbeat/", "heartbeat/../x", "queue/data", "queue/data?session_hash=a%2Fb"):
        assert ask(f"/gradio_api/{path}", waiting=waiting)[1]["status"] == 400


def test_an_event_names_an_own_photo(waiting):
    path = waiting.add(b"data", visitor="a" * 32)
    file = {"path": path, "url": "http://evil/", "is_stream": True, "meta": None, "size": 1}
    for cookie in (OTHER, None):
        event, answer = join(an_event(data=[file]), waiting=waiting, cookie=cookie)
        assert event is None and answer["status"] == 403
    _, answer = join(an_event(data=[file], fn_index=TAKES_NONE), waiting=waiting)
    assert answer["photo"] is None and len(waiting) == 1, "only one event takes a photo"
    sent = an_event(data=[file], trigger_id=7, simple_format=True)
    event, answer = join(sent, waiting=waiting)
    assert event == an_event(session_hash="a" * 32 + "s1", trigger_id=7), "Gradio sees no path"
    assert answer["photo"] == b"data" and len(waiting) == 0, "it goes with the event"
    assert join(sent, waiting=waiting)[1]["status"] == 403
    assert join(an_event(), waiting=waiting)[1]["photo"] is None, "the upload was cleared"


FILE_DATA = {"meta": {"_type": "gradio.FileData"}}
OTHER_FILES = [
    *({"path": path} for path in ("/etc/passwd", "file:///etc/passwd", None, "", 0, "\ud800")),
    *({"path": path} for path in (["/etc/passwd"], {"path": "/etc/passwd"})),
    {"path": "data:image/png;base64,AAAA"},
    {"path": "/etc/passwd", "meta": None},
    *({"path": path, **FILE_DATA} for path in ("/etc/passwd", "/nowhere/../etc/passwd")),
    *({"path": path, **FILE_DATA} for path in ("/nowhere", "http://127.0.0.1/x.png")),
    {"url": "http://127.0.0.1/x.png", **FILE_DATA},
    *({}, "/etc/passwd", ["/etc/passwd"], 0, True),
]


@pytest.mark.parametrize("value", OTHER_FILES, ids=repr)
def test_other_files_are_no_photo(value, waiting):
    waiting.add(b"data", visitor="a" * 32)
    event, answer = join(an_event(data=[value]), waiting=waiting)
    assert event is None and answer["status"] == 403 and len(waiting) == 1


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"fn_index":0,"data":[null],"session_hash":"a","event_data":{"x":' + b"[" * 3000,
        {},
        *(an_event(fn_index=index) for index in (1, True, "0", None, [0])),
        *(an_event(data=data) for data in (None, [], [None, None], {"0": None})),
        *(an_event(event_data=data) for data in ("x", [1], {"box": [1]}, {"id": "1"})),
        an_event(event_data={"box": {"y0": {"path": "/etc/passwd"}}}),
        an_event(event_data={"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}),
        *(an_event(session_hash=name) for name in (None, 1, "a/b", "a" * 65)),
    ],
    ids=lambda event: repr(event)[:60],
)
def test_what_is_no_event(event, waiting):
    got, answer = join(event, waiting=waiting)
    assert got is None and answer["status"] == 400


def test_long_requests_are_refused(waiting):
    def answer(path, **sent):
        return ask(path, method="POST", waiting=waiting, cookie=OWN, **sent)[1]["status"]

    join_path, upload = "/gradio_api/queue/join", "/gradio_api/upload"
    assert answer(join_path, body=b" " * 70_000) == 413
    assert answer(upload, parts=[bytes(MIB)] * 2) == 413
    assert answer(upload, parts=[bytes(MIB)] * 9) == 413
    assert answer(upload, parts=[bytes(1000)] * 3) == 200
    for length in ("99999999", "9" * 5000, "-1", "x"):
        assert answer(upload, content_length=length) == 413
    assert answer(upload, content_length=str(MIB)) == 200


def test_a_request_that_ends_early(waiting):
    async def receive():
        return {"type": "http.disconnect"}

    sent = speak(None, gate.UPLOAD, method="POST", receive=receive, waiting=waiting)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    "details", [None, {}, {"face": 1}, {"id": 3, "box": None}, {"id": 3, "box": {"y0": 0.5}}]
)
def test_details_of_an_event_pass(details, waiting):
    event, _ = join(an_event(fn_index=TAKES_NONE, event_data=details), waiting=waiting)
    assert event["event_data"] == details


def test_a_port_in_use_is_told_before_anything_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = f"--port={taken.getsockname()[1]}"
        command = [sys.executable, "-m", "ran_tf.launch.demo", port, "--model=no such model"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert port in done.stderr and "--host=127.0.0.1" in done.stderr
    assert "in use" in done.stderr and "no such model" not in done.stderr
