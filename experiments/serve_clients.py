"""A server to be measured, and clients for it: one case, asked over REST or over gRPC.

A case is {"images": list of bytes, "expect": "ok" | "bad" | "missing"}; with "malformed": index of
a request that is wrong before any image is looked at; over REST with "photos": list of bytes, whole
photos.
"""

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import urllib.parse

import numpy as np
import tensorflow as tf

# Versions are folders that `export` numbers from 1.
_MISSING_VERSION = 999
_PHOTOS = "/v1/photos:predict"
_KINDS = {200: "ok", 400: "bad", 404: "missing"}


@contextlib.contextmanager
def serve(model_dir: str, *flags: str, protocol: str):
    """Yields {"process": id, "address"} of `ran_tf.launch.serve` with further flags."""
    command = [
        *(sys.executable, "-m", "ran_tf.launch.serve", f"--model_dir={model_dir}", *flags),
        *("--rest_port=0", f"--grpc_port={0 if protocol == 'grpc' else -1}"),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders say a line about each bad image
        text=True,
    ) as server:
        try:
            addresses = {}
            for line in server.stdout:
                name, _, address = line.strip().partition(": ")
                addresses[name.lower()] = address
                if name == "REST":  # the last
                    break
            yield {"process": server.pid, "address": addresses[protocol]}
        finally:
            server.terminate()


def _form(photos: list[bytes]) -> dict:
    """A form of files, or the file itself if it is one."""
    if len(photos) == 1:
        return {"body": photos[0]}
    parts = [
        b'--0\r\nContent-Disposition: form-data; name="photo"; filename="%d"\r\n\r\n%s\r\n' % part
        for part in enumerate(photos)
    ]
    kind = "multipart/form-data; boundary=0"
    return {"body": b"".join(parts) + b"--0--\r\n", "headers": {"Content-Type": kind}}


class Lost(Exception):
    """No answer came."""


class Rest:
    """One connection to the REST server, kept.

    Args:
      address: http://HOST:PORT/v1/models/NAME.
    """

    MALFORMED = (b"{", b"[]", b"{}")

    def __init__(self, address: str):
        parts = urllib.parse.urlsplit(address)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=120)

    def prepare(self, case: dict) -> dict:
        """What is sent, made before the clock runs."""
        if "photos" in case:
            return {"path": _PHOTOS, **_form(case["photos"])}
        if "malformed" in case:
            body = self.MALFORMED[case["malformed"]]
        else:
            rows = [{"b64": base64.b64encode(image).decode()} for image in case["images"]]
            body = json.dumps({"instances": rows}).encode()
        version = f"/versions/{_MISSING_VERSION}" if case["expect"] == "missing" else ""
        return {"path": f"{self._path}{version}:predict", "body": body}

    def ask(self, request: dict) -> dict:
        """{"kind", "probabilities" f64[b, n] or "message"}. Raises Lost."""
        try:
            headers = request.get("headers", {})
            self._connection.request("POST", request["path"], request["body"], headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost from error
        kind = _KINDS.get(response.status, f"status {response.status}")
        if kind != "ok":
            return {"kind": kind, "message": answer["error"]}
        if request["path"] == _PHOTOS:
            return {"kind": kind, "photos": answer["photos"]}
        rows = [row["probabilities"] for row in answer["predictions"]]
        return {"kind": kind, "probabilities": np.array(rows)}


class Grpc:
    """One channel to the gRPC server.

    Args:
      address: HOST:PORT.
    """

    # Argument name, tensor and signature of requests that no image can help.
    MALFORMED = (
        ("picture", [b""], "serving_default"),
        ("image_bytes", [1.5], "serving_default"),
        ("image_bytes", [b""], "faces"),
    )

    def __init__(self, address: str):
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        self._request = predict_pb2.PredictRequest
        # Without the option all channels of a process to one address are one connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._error = grpc.RpcError
        self._kinds = {
            grpc.StatusCode.INVALID_ARGUMENT: "bad",
            grpc.StatusCode.NOT_FOUND: "missing",
        }

    def prepare(self, case: dict):
        name, value, signature = "image_bytes", case.get("images"), "serving_default"
        if "malformed" in case:
            name, value, signature = self.MALFORMED[case["malformed"]]
        request = self._request(model_spec={"name": "ran", "signature_name": signature})
        if case["expect"] == "missing":
            request.model_spec.version.value = _MISSING_VERSION
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def ask(self, request) -> dict:
        try:
            answer = self._stub.Predict(request, timeout=120)
        except self._error as error:
            kind = self._kinds.get(error.code())
            if kind is None:
                raise Lost from error
            return {"kind": kind, "message": error.details()}
        return {"kind": "ok", "probabilities": tf.make_ndarray(answer.outputs["probabilities"])}


CLIENTS = {"rest": Rest, "grpc": Grpc}
