"""The demo page as a server: what it tells, takes and keeps. Needs the extra `demo`."""

import importlib.util
import json
import pathlib
import re
import urllib.error
import urllib.request
import uuid

import numpy as np
import pytest

from ran_tf import export
from tests import demo_server
from tests.test_demo import encode
from tests.test_export import LinearModel, make_card, random_faces

pytestmark = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="no Gradio")


class Visitor:
    """Talks to the page as its own JavaScript does."""

    def __init__(self, url):
        self.url, self.session = url, uuid.uuid4().hex

    def get(self, path=""):
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as answer:
            return answer.read().decode()

    def upload(self, data, name="photo.png"):
        """The path under which the server keeps the file."""
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="{name}"'
        body = f"{head}\r\nContent-Type: image/png\r\n\r\n".encode() + data
        return self._post(
            "gradio_api/upload",
            body + f"\r\n--{border}--\r\n".encode(),
            kind=f"multipart/form-data; boundary={border}",
        )[0]

    def trigger(self, target, data=(), event=None):
        """Runs what an event of a component runs; returns what is shown after it, as one text."""
        config = json.loads(self.get("config"))
        ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        (number,) = (
            d["id"] for d in config["dependencies"] if ids.get(d["targets"][0][0]) == target
        )
        request = {
            "fn_index": number,
            "data": list(data),
            "event_data": event,
            "session_hash": self.session,
        }
        self._post("gradio_api/queue/join", json.dumps(request).encode())
        said = self.get(f"gradio_api/queue/data?session_hash={self.session}")
        messages = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
        (done,) = (m for m in messages if m["msg"] == "process_completed")
        return done

    def _post(self, path, body, *, kind="application/json"):
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=20) as answer:
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


def test_a_photo_is_answered_and_deleted(url, photo):
    visitor = Visitor(url)
    path = visitor.upload(photo)
    assert pathlib.Path(path).is_file()
    shown = json.dumps(visitor.trigger("ran-upload", [as_file(path)]))
    assert "2 faces were found" in shown and "ran-region" in shown and "data-face" in shown
    assert not pathlib.Path(path).exists()
    before = re.search(r'data-value=\\"([0-9.]+)', shown)[1]

    (number,) = set(re.findall(r'"id": (\d+), "src"', shown))
    box = {"y0": 0, "x0": 0, "y1": 0.5, "x1": 1}
    covered = json.dumps(
        visitor.trigger("ran-stage", [None], event={"id": int(number), "box": box})
    )
    assert "50% of the face is covered" in covered
    assert re.search(r'data-value=\\"([0-9.]+)', covered)[1] != before
    stale = visitor.trigger("ran-stage", [None], event={"id": -1, "box": box})
    assert stale["success"] and "is covered" not in json.dumps(stale)
    pressed = re.findall(r'aria-pressed=\\"(true|false)', shown)
    picked = {"face": pressed.index("false")}
    other = json.dumps(visitor.trigger("ran-shown", [None], event=picked))
    assert re.search(r'"id": (\d+), "src"', other)[1] != number


@pytest.mark.parametrize("data", [b"no image", encode(random_faces(90, 90))[:-300]])
def test_a_bad_file_is_answered_and_deleted(url, data):
    visitor = Visitor(url)
    path = visitor.upload(data)
    shown = visitor.trigger("ran-upload", [as_file(path)])
    assert shown["success"] and "ran-error" in json.dumps(shown)
    assert re.search("Not an image|ends too early", json.dumps(shown))
    assert not pathlib.Path(path).exists()


def test_large_uploads_are_refused(url):
    with pytest.raises(urllib.error.HTTPError, match="413"):
        Visitor(url).upload(encode(np.random.default_rng(0).integers(0, 256, (700, 700, 3))))


def test_other_files_and_addresses_are_not_read(url, tmp_path):
    other = tmp_path / "photo.png"
    other.write_bytes(encode(random_faces(60, 60)))
    answer = Visitor(url).trigger("ran-upload", [as_file(str(other))])
    assert not answer["success"], answer
    answer = Visitor(url).trigger("ran-upload", [as_file("https://127.0.0.1:1/photo.png")])
    assert "not an upload" in answer["output"]["error"]
    assert other.exists()


def test_a_forgotten_face_is_asked_for_again(url):
    answer = Visitor(url).trigger("ran-stage", [None], event={"id": 0, "box": None})
    assert "Drop the photo again" in json.dumps(answer)
