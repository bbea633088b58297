"""The demo page as a server: what it tells, takes and keeps. Needs the extra `demo`."""

import importlib.util
import json
import re
import urllib.error
import urllib.request
import uuid

import numpy as np
import pytest

from ran_tf.exports import export
from tests.demo.test_demo import encode
from tests.demo.test_demo_gate import OTHER_FILES
from tests.exports.test_export import LinearModel, make_card, random_faces
from tests.fixtures import demo_server

pytestmark = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="no Gradio")


class Visitor:
    """Talks to the page as its own JavaScript does."""

    def __init__(self, url):
        self.url, self.session = url, uuid.uuid4().hex
        cookies = urllib.request.HTTPCookieProcessor()
        self._opener = urllib.request.build_opener(cookies)

    def get(self, path=""):
        with self._opener.open(f"{self.url}{path}", timeout=20) as answer:
            return answer.read().decode()

    def upload(self, data, name="photo.png"):
        """The path by which the server knows the file."""
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="{name}"'
        body = f"{head}\r\nContent-Type: image/png\r\n\r\n".encode() + data
        return self.post(
            "gradio_api/upload",
            body + f"\r\n--{border}--\r\n".encode(),
            kind=f"multipart/form-data; boundary={border}",
        )[0]

    def has(self, path):
        try:
            self.get(f"gradio_api/file={path}")
        except urllib.error.HTTPError:
            return False
        except UnicodeDecodeError:
            pass
        return True

    def number_of(self, target):
        """Of the event of a component."""
        config = json.loads(self.get("config"))
        ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        (number,) = (
            d["id"] for d in config["dependencies"] if ids.get(d["targets"][0][0]) == target
        )
        return number

    def trigger(self, target, data=(None,), event=None):
        """Runs what an event of a component runs; returns what is shown after it."""
        request = {
            "fn_index": self.number_of(target),
            "data": list(data),
            "event_data": event,
            "session_hash": self.session,
        }
        self.post("gradio_api/queue/join", json.dumps(request).encode())
        said = self.get(f"gradio_api/queue/data?session_hash={self.session}")
        messages = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
        (done,) = (m for m in messages if m["msg"] == "process_completed")
        return done

    def post(self, path, body, *, kind="application/json"):
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": kind})
        with self._opener.open(request, timeout=20) as answer:
            return json.load(answer)


def as_file(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    model = tmp_path_factory.mktemp("export")
    export.write_export(LinearModel(), make_card(), export_dir=model, check=False)
    with demo_server.serve(
        folder, f"--model={model}", "--baseline=", "--max_megabytes=1"
    ) as address:
        yield address


@pytest.fixture(scope="module")
def photo():
    return encode(demo_server.two_astronauts(), ".jpg")


def test_the_page_tells_nobody(url):
    visitor = Visitor(url)
    config = json.loads(visitor.get("config"))
    assert config["analytics_enabled"] is False and config["run_history"] is False
    assert not re.search(r"https?://", visitor.get("theme.css").replace("http://www.w3.org", ""))
    # Scripts, styles and fonts of the first page come from the server itself.
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(.*?)"', visitor.get())
    assert loaded and not [path for path in loaded if re.match("(https?:)?//", path)]
    with pytest.raises(urllib.error.HTTPError, match="403|404"):
        visitor.get("monitoring/summary")


def test_a_photo_is_answered_and_forgotten(url, photo):
    visitor = Visitor(url)
    path = visitor.upload(photo)
    assert visitor.has(path)
    shown = json.dumps(visitor.trigger("ran-upload", [as_file(path)]))
    assert "2 faces were found" in shown and "ran-region" in shown and "data-face" in shown
    assert not visitor.has(path)
    before = re.search(r'data-value=\\"([0-9.]+)', shown)[1]

    (number,) = set(re.findall(r'"id": (\d+), "src"', shown))
    box = {"y0": 0, "x0": 0, "y1": 0.5, "x1": 1}
    covered = json.dumps(visitor.trigger("ran-stage", event={"id": int(number), "box": box}))
    assert "You cover 50% of the face" in covered
    assert re.search(r'data-value=\\"([0-9.]+)', covered)[1] != before
    stale = visitor.trigger("ran-stage", event={"id": -1, "box": box})
    assert stale["success"] and "is covered" not in json.dumps(stale)
    pressed = re.findall(r'aria-pressed=\\"(true|false)', shown)
    picked = {"face": pressed.index("false")}
    other = json.dumps(visitor.trigger("ran-shown", event=picked))
    assert re.search(r'"id": (\d+), "src"', other)[1] != number

    (number,) = set(re.findall(r'"id": (\d+), "src"', other))
    for wrong in (10**400, -1e300, float("nan"), None, 0.7):
        event = {"id": int(number), "box": {**box, "y0": wrong}}
        answer = json.dumps(visitor.trigger("ran-stage", event=event))
        assert "ran-error" in answer and "occluder must" in answer, wrong
    for wrong in (-1, 2, None, {}, 10**400, float("nan"), 0.5):
        answer = visitor.trigger("ran-shown", event={"face": wrong})
        assert answer["success"] and "ran-region" not in json.dumps(answer), wrong


@pytest.mark.parametrize("data", [b"", b"no image", encode(random_faces(90, 90))[:-300]])
def test_a_bad_file_is_answered_and_forgotten(url, data):
    visitor = Visitor(url)
    path = visitor.upload(data)
    shown = visitor.trigger("ran-upload", [as_file(path)])
    assert shown["success"] and "ran-error" in json.dumps(shown)
    assert re.search("Not an image|ends too early", json.dumps(shown))
    assert not visitor.has(path)


def test_large_uploads_are_refused(url):
    large = encode(np.random.default_rng(0).integers(0, 256, (700, 700, 3)))
    for data in (large, bytes(2**20 + 1)):
        with pytest.raises(urllib.error.HTTPError, match="413"):
            Visitor(url).upload(data)
    assert Visitor(url).upload(bytes(2**20))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        ["files", "files"],
        ["file"],
        ["files", "x"],
    ],
)
def test_forms_of_other_kinds_are_refused(url, parts):
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\nx\r\n'
        for name in parts
    )
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data", "text/plain", ""):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            Visitor(url).post("gradio_api/upload", f"{body}--b--\r\n".encode(), kind=kind)


def test_two_visitors_with_the_same_photo(url, photo):
    first, second = Visitor(url), Visitor(url)
    paths = [visitor.upload(photo) for visitor in (first, second)]
    for other, path in zip((second, first), paths, strict=True):
        assert not other.has(path)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            other.trigger("ran-upload", [as_file(path)])
    for visitor, path in zip((first, second), paths, strict=True):
        shown = visitor.trigger("ran-upload", [as_file(path)])
        assert "2 faces were found" in json.dumps(shown)


def test_an_unknown_session_has_no_messages(url):
    visitor = Visitor(url)
    assert "process_completed" not in visitor.get("gradio_api/queue/data?session_hash=unknown")


def test_another_visitors_face_is_out_of_reach(url, photo):
    first, second = Visitor(url), Visitor(url)
    first.trigger("ran-upload", [as_file(first.upload(photo))])
    second.session = first.session
    assert "Drop the photo again" in json.dumps(second.trigger("ran-shown", event={"face": 0}))


@pytest.mark.parametrize("target", ["ran-upload", "ran-whole", "ran-shown", "ran-stage"])
def test_no_event_reads_another_file(url, target, tmp_path):
    """Crafted payloads, the secret's path among them, in every place of an event."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode(random_faces(60, 60)))
    link = tmp_path / "link.png"
    link.symlink_to(secret)
    visitor = Visitor(url)
    own = visitor.upload(b"data")
    crafted = [{"path": str(path), **meta} for path in (secret, link) for meta in METAS]
    crafted += [{"path": f"{own}/../../../../../../../..{secret}"}, [as_file(own)], own]
    for value in [*OTHER_FILES, *crafted]:
        for event in (None, {"face": value}, {"id": 0, "box": value}, value):
            try:
                answer = json.dumps(visitor.trigger(target, [value], event=event))
            except urllib.error.HTTPError as error:
                assert error.code in (400, 403)
            else:
                assert target != "ran-upload" and "Drop the photo again" in answer
    assert secret.read_bytes() and link.is_symlink() and visitor.has(own)


METAS = [{}, {"meta": None}, {"meta": []}, {"meta": {"_type": "gradio.FileData"}}]


@pytest.mark.parametrize(
    "path",
    [
        "run/predict",
        "run/take_photo",
        "api/take_photo",
        "call/take_photo",
        "call/v2/take_photo",
        "component_server",
        "process_recording",
        "stream/x",
        "cancel",
        "vibe-edit",
    ],
)
def test_no_other_way_to_an_event(url, path, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode(random_faces(60, 60)))
    visitor = Visitor(url)
    request = {
        "fn_index": visitor.number_of("ran-upload"),
        "data": [{"path": str(secret)}],
        "session_hash": visitor.session,
    }
    with pytest.raises(urllib.error.HTTPError, match="404"):
        visitor.post(f"gradio_api/{path}", json.dumps(request).encode())
    assert secret.exists()


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Origin"])
def test_pages_elsewhere_cannot_speak_to_it(url, name):
    for value in ("evil.example", "http://evil.example", "null"):
        request = urllib.request.Request(f"{url}config", headers={name: value})
        with pytest.raises(urllib.error.HTTPError, match="421|403"):
            urllib.request.urlopen(request, timeout=20)


def test_a_forgotten_face_is_asked_for_again(url):
    answer = Visitor(url).trigger("ran-stage", event={"id": 0, "box": None})
    assert "Drop the photo again" in json.dumps(answer)
