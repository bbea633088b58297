"""POST /v1/photos:predict, and what stands beside it: probes, counters, the description."""

import http.client
import io
import json
import re
import uuid

import pytest
from PIL import Image

from ran_tf.serving import limits, openapi, service
from ran_tf.weights.covered_readout import CoveredReadout
from tests.fixtures import rest_server
from tests.inference.test_predict_files import Brightness, make_card

FORM = "multipart/form-data"


class Finder(Brightness):
    def faces(self, items, *, on_error, most):
        return [found[:most] for found in super().faces(items, on_error=on_error)]


@pytest.fixture(scope="module")
def model(small_export):
    return service.ModelService(small_export.path)


@pytest.fixture(scope="module")
def port(model):
    with rest_server.serve(
        model, predictor=Finder(), photos=3, faces=2, pixels=100_000, photo_seconds=30
    ) as port:
        yield port


def png(value, *, width=110, height=100) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (value,) * 3).save(file, "png")
    return file.getvalue()


def form(*photos: tuple[str, bytes], more: bytes = b"") -> dict:
    """The body and headers of a form."""
    boundary = uuid.uuid4().hex.encode()
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="photo"; filename="%s"\r\n\r\n%s\r\n'
        % (boundary, name.encode(), data)
        for name, data in photos
    ]
    body = b"".join(parts) + more + b"--%s--\r\n" % boundary
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    return {"body": body, "headers": {"Content-Type": kind}}


def ask(port, path="/v1/photos:predict", *, method="POST", body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode()}
    finally:
        connection.close()


def photos(port, **request):
    answer = ask(port, **request)
    return answer["status"], json.loads(answer["text"])


def test_several_photos_and_one_that_is_bad(port):
    status, said = photos(
        port, **form(("a.png", png(250)), ("näme.png", b"no image"), ("c.png", png(9, width=50)))
    )
    assert status == 200 and said["model"] == {"name": "ran", "version": 1}
    one, bad, nobody = said["photos"]
    assert (one["name"], one["width"], one["height"]) == ("a.png", 110, 100)
    (face,) = one["faces"]
    assert (face["label"], face["box"], face["score"]) == ("light", [0, 0, 99, 99], 0.9)
    assert face["probabilities"]["light"] == pytest.approx(250 / 255, abs=1e-6)
    assert face["weights"] == [0.3, 0.7] and len(face["boxes"]) == 2
    assert bad.keys() == {"name", "error"} and bad["name"] == "näme.png"
    assert "not an image" in bad["error"]
    assert nobody["faces"] == [] and nobody["more_faces"] is False


@pytest.mark.parametrize("kind", [None, "image/png", "application/x-www-form-urlencoded"])
def test_one_photo_as_the_body(port, kind):
    headers = {"Content-Type": kind} if kind else None
    status, said = photos(port, body=png(250), headers=headers)
    (photo,) = said["photos"]
    assert status == 200 and photo["name"] == "" and photo["faces"][0]["label"] == "light"


def test_only_the_largest_faces_are_answered_and_it_is_said(port):
    for width, more in ((230, False), (330, True)):
        _, said = photos(port, body=png(250, width=width))
        (photo,) = said["photos"]
        assert len(photo["faces"]) == 2 and photo["more_faces"] is more


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "Received: none"),
        (form(), "Received: none"),
        (form(*[("a", b"x")] * 4), "Too many files"),
        (form(more=b"--x\r\n\r\n"), "form"),
        ({"body": b"x", "headers": {"Content-Type": FORM}}, "boundary"),
        ({"body": b"--a--", "headers": {"Content-Type": f"{FORM}; boundary=\xff"}}, "form"),
        ({"body": b"--a--", "headers": {"Content-Type": f"{FORM}; boundary={'a' * 99}"}}, "form"),
        ({"body": b"no image"}, "no photo could be used: not an image"),
        ({"body": png(1, width=1001)}, "at most 100,000 pixels; make it smaller. Received: 1,001"),
        (form(("a", b""), ("b", b"GIF89a")), "no photo could be used"),
    ],
)
def test_what_cannot_be_answered_is_said_with_400(port, request_, words):
    status, said = photos(port, **request_)
    assert status == 400 and words in said["error"]


def test_too_many_bytes_are_413(model):
    with rest_server.serve(model, predictor=Finder(), max_request_bytes=1000) as port:
        status, said = photos(port, body=bytes(1001))
        assert status == 413 and "at most 1,000 bytes" in said["error"]


def test_photos_that_the_time_is_over_for_are_not_begun(model):
    with rest_server.serve(model, predictor=Finder(), photo_seconds=0.2) as port:
        with model.turn, model.turn:  # others have all turns
            status, said = photos(port, body=png(250))
        assert status == 503 and "not started within 0.2 s" in said["error"]
        assert photos(port, body=png(250))[0] == 200


def test_a_server_of_crops_alone_takes_no_photos(model):
    with rest_server.serve(model) as port:
        assert photos(port, body=png(250))[0] == 404
        described = json.loads(ask(port, "/openapi.json", method="GET")["text"])
        assert "/v1/photos:predict" not in described["paths"]


def test_probes_and_the_description(port):
    for path in ("/healthz", "/readyz"):
        assert ask(port, path, method="GET")["status"] == 200
    described = json.loads(ask(port, "/openapi.json", method="GET")["text"])
    for path, operations in described["paths"].items():
        for method in operations:
            path = path.format(model="ran")
            assert ask(port, path, method=method.upper())["status"] in (200, 400), path
    assert "3 photos of 100,000 pixels" in str(described["paths"]["/v1/photos:predict"])
    # What is answered has what is described, and nothing else.
    face = photos(port, body=png(250))[1]["photos"][0]["faces"][0]
    schema = described["components"]["schemas"]["Face"]
    assert face.keys() == schema["properties"].keys() == set(schema["required"])


def test_the_covered_share_is_described_if_the_network_tells_it():
    card = make_card(covered=CoveredReadout(bias=0.1, slopes=(0.0, 0.1), auc=0.95))
    bounds = limits.Limits()
    for told, known in ((True, card), (False, make_card())):
        face = openapi.describe(limits=bounds, card=known)["components"]["schemas"]["Face"]
        assert ("covered" in face["properties"]) is told is ("covered" in face["required"])


def test_requests_photos_and_faces_are_counted(model):
    def counted(port):
        text = ask(port, "/metrics", method="GET")["text"]
        lines = re.findall(r"^(ran_\w+(?:\{.*\})?) (\S+)$", text, re.M)
        return {name: float(value) for name, value in lines}

    with rest_server.serve(model, predictor=Finder()) as port:
        photos(port, **form(("a", png(250, width=230)), ("b", b"")))
        photos(port, body=b"no image")
        ask(port, "/no/such/<page>", method="GET")
        said = counted(port)
    assert said['ran_photos_total{outcome="answered"}'] == 1
    assert said['ran_photos_total{outcome="refused"}'] == 2
    assert said["ran_photo_faces_total"] == 2
    assert said['ran_requests_total{asked="predict_photos",status="200"}'] == 1
    assert said['ran_requests_total{asked="predict_photos",status="400"}'] == 1
    assert said['ran_requests_total{asked="unknown",status="404"}'] == 1
    assert said['ran_request_seconds_count{asked="predict_photos"}'] == 2
    assert said["ran_requests_in_flight"] == 1, "the one that asks"
