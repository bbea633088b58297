"""What may reach Gradio: an ASGI layer before it.

Gradio's server has some eighty routes, which read and write files, call addresses and run
programs. The page needs the few that are listed here; their requests are checked, and stripped of
all that the page itself does not send. Every browser is a visitor with a cookie, whose uploads and
sessions are its own.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from ran_tf.demo.hosts import Hosts
from ran_tf.demo.uploads import Uploads
from ran_tf.safety import files

UPLOAD, PROGRESS = "/gradio_api/upload", "/gradio_api/upload_progress"
FILE = "/gradio_api/file="
_JOIN, _STREAM = "/gradio_api/queue/join", "/gradio_api/queue/data"
_HEARTBEAT = "/gradio_api/heartbeat/"
_PAGE = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/gradio_api/app_id|/(assets|static)/[\w.@/-]{1,200}",
    re.ASCII,
)
_HEADERS = (
    b"accept",
    b"accept-encoding",
    b"content-length",
    b"content-type",
    b"host",
    b"if-none-match",
    b"x-forwarded-host",
    b"x-forwarded-proto",
)
_COOKIE = "ran_tf_visitor"
_VISITOR = re.compile(r"[\w-]{32}", re.ASCII)
_SESSION = re.compile(r"[0-9a-zA-Z]{1,64}", re.ASCII)
# Of an event, and of what a form adds to its file.
_EVENT_BYTES, _FORM_BYTES = 2**16, 2**13
# Uploads that arrive at once, and the time that each may take.
_ARRIVING, _SECONDS = 8, 60
_NOT_YOURS = "That photo is no longer in memory. Drop it again; the page needs its cookie."


class _Refused(Exception):
    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def guard(app: Callable, *, hosts: Hosts, uploads: Uploads, events: Mapping[int, bool]) -> Callable:
    """Puts the gate before an application.

    Args:
      app: an ASGI application: Gradio's, with routes of our own at `UPLOAD`, `PROGRESS` and `FILE`.
        In a request's `state` it finds the name of its `visitor`, and an event's `photo`: bytes, or
        None where the event has none.
      hosts: names of the page.
      uploads: photos that wait.
      events: numbers of the page's events, and whether they read a photo.

    Returns:
      An ASGI application.
    """
    arriving = asyncio.Semaphore(_ARRIVING)

    async def guarded(scope, receive, send):
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            _check_source(scope["headers"], hosts)
            known = _find_visitor(scope["headers"])
            visitor = known or secrets.token_urlsafe(24)
            answer = send if known else _set_cookie(send, visitor)
            asked = _ask(scope, visitor=visitor)
            if asked["path"] == UPLOAD:
                if arriving.locked():
                    raise _Refused(503, "Too many uploads at once; try again in a minute.")
                async with arriving:
                    body = await _read_body(scope, receive, limit=uploads.max_bytes + _FORM_BYTES)
                    receive = _replay(body, receive)
                    await app(asked, receive, answer)
                    return
            if asked["path"] == _JOIN:
                body = await _read_body(scope, receive, limit=_EVENT_BYTES)
                event, photo = _read_event(body, visitor=visitor, events=events, uploads=uploads)
                body = json.dumps(event).encode()
                asked["state"]["photo"] = photo
                asked["headers"] = [h for h in asked["headers"] if h[0] != b"content-length"]
                receive = _replay(body, receive)
            try:
                await app(asked, receive, answer)
            except Exception:
                # Gradio fails in the midst of its answer where it does not know the session.
                if asked["path"] != _STREAM:
                    raise
                await send({"type": "http.response.body", "body": b""})
        except _Refused as refused:
            await _refuse(send, refused, as_json=scope["path"] == _JOIN)

    return guarded


def _check_source(headers, hosts: Hosts) -> None:
    def values(name):
        return [value.decode("latin-1") for key, value in headers if key == name]

    asked = values(b"host")
    forwarded = [part.strip() for text in values(b"x-forwarded-host") for part in text.split(",")]
    for host in [*asked, *forwarded]:
        if not hosts.allow_host(host):
            raise _Refused(
                421,
                f"This page is not served under the name {host[:200]!a}. Whoever started it can "
                "add a name with --allowed_hosts.",
            )
    if len(asked) != 1:
        raise _Refused(400, "A request must have exactly one Host header.")
    if values(b"transfer-encoding") and values(b"content-length"):
        # A proxy may see another end of this request, and ours as its next.
        raise _Refused(400, "A request must give its length exactly once.")
    for origin in values(b"origin"):
        if not hosts.allow_origin(origin, hosts=[*asked, *forwarded]):
            raise _Refused(403, f"A page of {origin[:200]!a} may not send requests to this page.")


def _find_visitor(headers) -> str | None:
    cookies = b";".join(value for key, value in headers if key == b"cookie").decode("latin-1")
    for cookie in cookies.split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == _COOKIE and _VISITOR.fullmatch(value):
            return value
    return None


def _ask(scope, *, visitor: str) -> dict:
    """The request as Gradio gets it."""
    method, path, query = scope["method"], scope["path"], b""
    if path in (UPLOAD, _JOIN):
        known = method == "POST"
    elif path in (PROGRESS, _STREAM) or path.startswith((FILE, _HEARTBEAT)):
        known = method == "GET"
    else:
        known = method in ("GET", "HEAD") and _PAGE.fullmatch(path) and ".." not in path
    if not known:
        raise _Refused(404, "There is no such page.")
    if path == _STREAM:
        query = f"session_hash={_own_session(_session_in(scope), visitor)}".encode()
    elif path.startswith(_HEARTBEAT):
        path = f"{_HEARTBEAT}{_own_session(path.removeprefix(_HEARTBEAT), visitor)}"
    return {
        **scope,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [header for header in scope["headers"] if header[0] in _HEADERS],
        "state": {**scope.get("state", {}), "visitor": visitor},
    }


def _session_in(scope) -> str:
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8)
    except ValueError as error:
        raise _Refused(400, "The query cannot be read.") from error
    return query.get("session_hash", [""])[0]


def _own_session(session, visitor: str) -> str:
    """What Gradio calls a visitor's session: nobody reaches another's, even by its name."""
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise _Refused(400, "A session must have a name.")
    return f"{visitor}{session}"


def _read_event(
    body: bytes, *, visitor: str, events: Mapping[int, bool], uploads: Uploads
) -> tuple[dict, bytes | None]:
    """An event as Gradio gets it, made from what a request says, and the photo that it names.

    The photo goes with the event from here on: it is forgotten when Gradio drops the event.
    """
    try:
        said = files.parse_json(body, source="an event")
    except ValueError as error:
        raise _Refused(400, "An event must be a JSON object.") from error
    number, data, details = (said.get(key) for key in ("fn_index", "data", "event_data"))
    if type(number) is not int or number not in events:
        raise _Refused(400, "There is no such event.")
    if not _is_plain(details):
        raise _Refused(400, "An event's details must be an object of numbers.")
    if not isinstance(data, list) or len(data) != 1:
        raise _Refused(400, "An event's data must be a list of one item.")
    event = {
        "fn_index": number,
        "data": [None],
        "event_data": details,
        "session_hash": _own_session(said.get("session_hash"), visitor),
    }
    if type(said.get("trigger_id")) is int:
        event["trigger_id"] = said["trigger_id"]
    photo = None
    if events[number] and data[0] is not None:
        path = data[0].get("path") if isinstance(data[0], dict) else None
        photo = uploads.take(path, visitor=visitor)
        if photo is None:
            raise _Refused(403, _NOT_YOURS)
    return event, photo


def _is_plain(value, *, depth: int = 2) -> bool:
    """Whether it is nothing, or an object of numbers or, once, of such objects."""
    if isinstance(value, dict) and depth:
        return all(
            isinstance(v, (int, float)) or _is_plain(v, depth=depth - 1) for v in value.values()
        )
    return value is None


async def _read_body(scope, receive, *, limit: int) -> bytes:
    too_long = _Refused(413, f"The request exceeds the maximum of {limit:,} bytes.")
    for name, value in scope["headers"]:
        # A little more is read, so that a browser is told and not cut off.
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > 4 * limit):
            raise too_long
    body, length = [], 0
    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "The request ends too early.")
                part = message.get("body", b"")
                length += len(part)
                if length <= limit:
                    body.append(part)
                if not message.get("more_body", False) or length > 4 * limit:
                    break
    except TimeoutError as error:
        raise _Refused(408, f"The request took more than {_SECONDS} seconds.") from error
    if length > limit:
        raise too_long
    return b"".join(body)


def _replay(body: bytes, receive: Callable) -> Callable:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed():
        return messages.pop() if messages else await receive()

    return replayed


def _set_cookie(send: Callable, visitor: str) -> Callable:
    cookie = f"{_COOKIE}={visitor}; Path=/; HttpOnly; SameSite=Strict".encode()

    async def sending(message):
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"set-cookie", cookie)]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _refuse(send: Callable, refused: _Refused, *, as_json: bool) -> None:
    # Gradio's script shows the `detail` of an event that is refused, and the text of an upload.
    text = json.dumps({"detail": str(refused)}) if as_json else str(refused)
    kind = "application/json" if as_json else "text/plain; charset=utf-8"
    headers = {
        "content-type": kind,
        "content-length": str(len(text.encode())),
        # What follows may be the rest of the request.
        "connection": "close",
        "x-content-type-options": "nosniff",
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})
