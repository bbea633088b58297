"""The small server answers as TensorFlow Serving does, and a bad request harms no other."""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

import ran_tf
from ran_tf.serving import service
from tests.exports.test_export import random_faces
from tests.fixtures import rest_server

KINDS = ("ok", "bad", "missing", "photos")
ROOT = pathlib.Path(__file__).parents[2]
FACES = random_faces(2, 32, 32)
PNGS = [tf.io.encode_png(face).numpy() for face in FACES]


@pytest.fixture(scope="module")
def model(small_export):
    return service.ModelService(small_export.path)


@pytest.fixture(scope="module")
def address(model):
    with rest_server.serve(model) as port:
        yield f"http://127.0.0.1:{port}"


def ask(url: str, body=None) -> dict:
    """The status and the JSON of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as answer:
            return {"status": answer.status, **json.load(answer)}
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code, **json.load(error)}


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def expected(small_export) -> dict:
    return small_export.loaded.signatures["images"](images=tf.constant(FACES))


def check_rows(rows: list[dict], want: dict) -> None:
    assert len(rows) == len(FACES)
    for row, i in zip(rows, range(len(rows)), strict=True):
        assert sorted(row) == ["boxes", "label", "probabilities", "weights"]
        for name, value in row.items():
            np.testing.assert_allclose(value, want[name][i], atol=1e-5, err_msg=name)


def test_rows_and_columns(address, small_export):
    url, want = f"{address}/v1/models/ran:predict", expected(small_export)
    for row in (b64, lambda data: {"image_bytes": b64(data)}):
        answer = ask(url, {"instances": [row(data) for data in PNGS]})
        check_rows(answer["predictions"], want)
    for inputs in ([b64(d) for d in PNGS], {"image_bytes": [b64(d) for d in PNGS]}):
        answer = ask(f"{address}/v1/models/ran/versions/1:predict", {"inputs": inputs})
        np.testing.assert_allclose(
            answer["outputs"]["probabilities"], want["probabilities"], atol=1e-5
        )
        assert answer["outputs"]["label"] == want["label"].numpy().tolist()
    answer = ask(url, {"signature_name": "images", "instances": FACES.tolist()})
    check_rows(answer["predictions"], want)
    regions = ran_tf.crop_regions(FACES, ran_tf.fixed_boxes(6), size=(32, 32)).numpy()
    answer = ask(url, {"signature_name": "regions", "inputs": {"regions": regions.tolist()}})
    np.testing.assert_allclose(answer["outputs"]["weights"], want["weights"], atol=1e-5)
    assert "boxes" not in answer["outputs"]


def test_status_and_metadata(address):
    answer = ask(f"{address}/v1/models/ran")
    (version,) = answer["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    answer = ask(f"{address}/v1/models/ran/versions/1/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == ["images", "regions", "serving_default"]
    assert signatures["serving_default"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "JSON Parse Error"),
        ({}, 'either "instances" or "inputs"'),
        ({"instances": []}, "at least one row"),
        ({"instances": [{"picture": 1}]}, "must name exactly"),
        ({"instances": [{"b64": 7}]}, "an object must be"),
        ({"instances": [b64(b"no image")]}, r"`image_bytes\[0\]` must be a JPEG"),
        ({"instances": [b64(PNGS[0]), b64(PNGS[1][:-12])]}, r"image_bytes\[1\]` ends too early"),
        ({"signature_name": "faces", "instances": [1]}, "not found in signature def"),
        ({"signature_name": "images", "instances": [[1, 2]]}, "must have shape"),
        ({"signature_name": "images", "instances": [[[[256, 0, 0]]]]}, "must be uint8"),
    ],
)
def test_a_bad_request_is_400_and_the_next_is_answered(address, small_export, body, message):
    answer = ask(f"{address}/v1/models/ran:predict", body)
    assert answer["status"] == 400 and re.search(message, answer["error"]), answer
    answer = ask(f"{address}/v1/models/ran:predict", {"instances": [b64(d) for d in PNGS]})
    check_rows(answer["predictions"], expected(small_export))


def test_what_is_not_there_is_404_and_what_is_too_long_413(address):
    for path in ("/", "/v1/models/other:predict", "/v1/models/ran/versions/7:predict"):
        assert ask(f"{address}{path}", {"instances": [1]})["status"] == 404
    assert "Specific(ran, 7)" in ask(f"{address}/v1/models/ran/versions/7")["error"]
    # More than the sockets hold: the client still sends when it is answered.
    answer = ask(f"{address}/v1/models/ran:predict", bytes(2**24))
    assert answer["status"] == 413 and "at most 1,048,576 bytes" in answer["error"]


def test_grpc(model, small_export):
    grpc = pytest.importorskip("grpc")
    pytest.importorskip("tensorflow_serving")
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    from ran_tf.serving import grpc_service

    bound = grpc_service.make_server(model, host="127.0.0.1", port=0, max_request_bytes=2**20)
    bound["server"].start()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "ran"
    with grpc.insecure_channel(f"127.0.0.1:{bound['port']}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(signature: str = "", **inputs):
            request.model_spec.signature_name = signature
            request.inputs.clear()
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            return stub.Predict(request, timeout=60)

        regions = ran_tf.crop_regions(FACES, ran_tf.fixed_boxes(6), size=(32, 32)).numpy()
        want = expected(small_export)
        for answer in (
            predict(image_bytes=PNGS),
            predict("images", images=FACES),
            predict("regions", regions=regions),
        ):
            assert answer.model_spec.version.value == 1
            for name, value in answer.outputs.items():
                got = tf.make_ndarray(value)
                assert got.dtype == want[name].numpy().dtype
                np.testing.assert_allclose(got, want[name], atol=1e-5, err_msg=name)
        for inputs, message in (
            ({"image_bytes": [b"no image"]}, "must be a JPEG"),
            ({"picture": [b""]}, "must name exactly"),
        ):
            with pytest.raises(grpc.RpcError, match=message) as caught:
                predict(**inputs)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            predict(image_bytes=[bytes(2**20)])
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

        ask_metadata = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": "ran"})
        packed = stub.GetModelMetadata(ask_metadata).metadata["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert packed.Unpack(signatures) and "regions" in signatures.signature_def
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(
            get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "ran"})
        )
        assert status.model_version_status[0].version == 1
        request.model_spec.name = "other"
        with pytest.raises(grpc.RpcError, match="Servable not found") as caught:
            predict(image_bytes=PNGS)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    bound["server"].stop(None).wait()


def test_the_command_serves_until_it_is_told_to_stop(small_export):
    command = [sys.executable, "-m", "ran_tf.launch.serve", f"--model_dir={small_export.path}"]
    with subprocess.Popen(
        [*command, "--rest_port=0", "--grpc_port=0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("REST: "):
                break
        url = line.removeprefix("REST: ").strip()
        assert url.startswith("http://127.0.0.1:")
        assert len(ask(f"{url}:predict", {"instances": [b64(PNGS[0])]})["predictions"]) == 1
        photo = tf.io.encode_png(skimage.data.astronaut()[:256, 128:352]).numpy()
        answer = ask(f"{url.partition('/v1')[0]}/v1/photos:predict", photo)
        assert [len(said["faces"]) for said in answer["photos"]] == [1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_short_load_test_leaves_out_what_it_did_not_ask(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import serve_load

    results = [{"kind": "ok", "s": 0.1}, {"kind": "ok", "s": 0.3}, {"kind": "missing", "s": 0.002}]
    assert serve_load.summarise_times(results) == {
        "ok": {"count": 2, "ms_p50": 200.0, "ms_p99": 298.0},
        "missing": {"count": 1, "ms_p50": 2.0, "ms_p99": 2.0},
    }


@pytest.mark.large
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_many_clients_and_bad_requests(small_export, protocol):
    """The load test of the benchmarks in small: nothing lost, nothing wrong, memory flat."""
    if protocol == "grpc":
        pytest.importorskip("tensorflow_serving")
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "experiments" / "serve_load.py", "--requests=400"),
            *(f"--model_dir={small_export.path.parent}", f"--protocol={protocol}"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    summary = json.loads(done.stdout[done.stdout.index("{") :])
    assert (done.returncode, summary["requests"]) == (0, 400), done.stdout
    assert summary["lost"] == summary["wrong"] == 0
    assert sum(summary[kind]["count"] for kind in KINDS if kind in summary) == 400
