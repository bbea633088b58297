"""Photos that wait to be taken, each by its visitor, for a minute, within bounds."""

import asyncio

import pytest

from ran_tf.demo import gate, uploads
from tests.fixtures.demo_requests import (
    EVENTS,
    LOOPBACK,
    speak,
)

MIB = 2**20


def test_few_uploads_arrive_at_once(waiting, monkeypatch):
    """And one that never ends makes room again."""
    monkeypatch.setattr(gate, "_SECONDS", 0.2)
    statuses = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": gate.UPLOAD,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }

    async def flood():
        guarded = gate.guard(None, hosts=LOOPBACK, uploads=waiting, events=EVENTS)
        await asyncio.gather(*(guarded(scope, receive, send) for _ in range(20)))
        await guarded(scope, receive, send)

    asyncio.run(flood())
    assert statuses == [503] * 12 + [408] * 9


def test_a_photo_is_taken_once_and_by_its_visitor(waiting):
    paths = [waiting.add(b"same", visitor=name) for name in ("a", "b", "a")]
    assert len(set(paths)) == 3, "equal photos have paths of their own"
    assert waiting.take(paths[0], visitor="b") is None
    assert waiting.find(paths[0], visitor="b") is None
    assert waiting.find(paths[0], visitor="a") == b"same"
    assert waiting.take(paths[0], visitor="a") == b"same"
    assert waiting.take(paths[0], visitor="a") is None
    assert waiting.take(paths[1], visitor="b") == b"same"
    for other in (None, [], {}, 0, "", paths[2] + "/", paths[2].upper(), "/etc/passwd"):
        assert waiting.take(other, visitor="a") is None


def test_photos_vanish_within_a_minute(waiting, clock):
    path = waiting.add(b"data", visitor="a")
    clock.now = 30
    waiting.forget_old()
    assert waiting.find(path, visitor="a")
    clock.now = 55  # and the server looks every five seconds
    assert waiting.find(path, visitor="a") is None
    assert waiting.take(path, visitor="a") is None
    waiting.forget_old()
    assert len(waiting) == 0


@pytest.mark.parametrize("size", [0, 10, MIB])
def test_waiting_photos_have_a_bound(size, clock):
    waiting = uploads.Uploads("/nowhere", max_bytes=MIB, total_bytes=8 * MIB, clock=clock)
    most = 8 * MIB // (size + 4096)
    paths = [waiting.add(bytes(size), visitor="a") for _ in range(most + 5)]
    assert len(waiting) == most
    found = [waiting.find(path, visitor="a") is not None for path in paths]
    assert found == [False] * 5 + [True] * most, "the oldest go"


def test_a_stream_that_breaks_off_ends(waiting):
    """As Gradio's does for a session that it does not know."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("response already started")

    sent = speak(app, "/gradio_api/queue/data?session_hash=a", waiting=waiting)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    assert not sent[-1].get("more_body")


def test_all_photos_together_take_256_mib_at_most():
    class Large:
        def __len__(self):
            return 100 * MIB

    waiting = uploads.Uploads("/nowhere", max_bytes=MIB)
    for _ in range(4):
        waiting.add(Large(), visitor="a")
    assert len(waiting) == 2
