"""The REST interface of TensorFlow Serving, from the standard library.

    GET  /v1/models/NAME[/versions/N]             is it there
    GET  /v1/models/NAME[/versions/N]/metadata    its signatures
    POST /v1/models/NAME[/versions/N]:predict     {"signature_name"?, "instances" | "inputs"}

"instances" is a list of rows, "inputs" an object of columns; either leaves out the argument's name
where a signature has one argument. Bytes are {"b64": "..."}.
"""

import base64
import binascii
import contextlib
import http.server
import json
import re

import numpy as np
from google.protobuf import json_format

from ran_tf.serving import service as model_service

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]{1,18}))?(?P<what>/metadata|:predict)?"
)
# Seconds in which a client that has begun a request must go on with it.
_TIMEOUT = 60
# Of a request that is refused unread: so much is thrown away before the connection is closed.
_MOST_DISCARDED = 2**28


def make_server(
    service: model_service.ModelService, *, host: str, port: int, max_request_bytes: int
) -> http.server.ThreadingHTTPServer:
    """A server that is bound and not yet running: `serve_forever` runs it.

    Args:
      service: what answers.
      host: address to listen on.
      port: 0 is any that is free, see `server_address`.
      max_request_bytes: longer requests are refused unread.
    """

    class Handler(_Handler):
        pass

    Handler.service, Handler.max_request_bytes = service, max_request_bytes
    return http.server.ThreadingHTTPServer((host, port), Handler)


class _Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    # An answer is written in two parts, and the second would wait for a delayed acknowledgement.
    disable_nagle_algorithm = True
    timeout = _TIMEOUT
    service: model_service.ModelService
    max_request_bytes: int
    unread = 0  # bytes of the body

    def do_GET(self):
        self._answer({"": self._status, "/metadata": self._metadata})

    def do_POST(self):
        self._answer({":predict": self._predict})

    def _answer(self, methods: dict) -> None:
        try:
            body, status = self._dispatch(methods), 200
        except _Refused as error:
            body, status = {"error": str(error)}, error.status
        except model_service.NotServedError as error:
            body, status = {"error": str(error)}, 404
        except model_service.BadRequestError as error:
            body, status = {"error": str(error)}, 400
        except OSError:  # the client is gone
            self.close_connection = True
            return
        except Exception as error:
            self.log_error("%r", error)
            body, status = {"error": f"internal error: {error!r}"}, 500
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self._discard()

    def _discard(self) -> None:
        """Closed on unread bytes a connection is reset, and a client that still sends gets none of
        the answer."""
        left = min(self.unread, _MOST_DISCARDED)
        with contextlib.suppress(OSError):
            while left > 0 and (block := self.rfile.read1(min(left, 2**16))):
                left -= len(block)

    def _dispatch(self, methods: dict) -> dict:
        body = self._read_body() if self.command == "POST" else b""
        match = _PATH.fullmatch(self.path)
        if match is None or (match["what"] or "") not in methods:
            raise _Refused(404, f"Malformed request: {self.command} {self.path}")
        version = int(match["version"]) if match["version"] else None
        self.service.find(name=match["name"], version=version)
        return methods[match["what"] or ""](body)

    def _read_body(self) -> bytes:
        """Always all of it or an end of the connection: what is left would be the next request."""
        length = self.headers.get("Content-Length", "")
        closes, self.close_connection = self.close_connection, True
        # isdigit() is true of "\u00b2", and int() refuses thousands of digits.
        if not re.fullmatch("[0-9]{1,18}", length):
            raise _Refused(411, "the request must have a Content-Length")
        if int(length) > self.max_request_bytes:
            self.unread = int(length)
            raise _Refused(
                413,
                f"the request must have at most {self.max_request_bytes:,} bytes. "
                f"Received: {int(length):,} bytes",
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionError
        self.close_connection = closes
        return body

    def _status(self, _: bytes) -> dict:
        state = {
            "version": str(self.service.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [state]}

    def _metadata(self, _: bytes) -> dict:
        signatures = {
            name: json_format.MessageToDict(value, preserving_proto_field_name=True)
            for name, value in self.service.signature_def.items()
        }
        spec = {
            "name": self.service.name,
            "signature_name": "",
            "version": str(self.service.version),
        }
        return {
            "model_spec": spec,
            "metadata": {"signature_def": {"signature_def": signatures}},
        }

    def _predict(self, body: bytes) -> dict:
        request = _parse(body)
        signature = request.get("signature_name") or model_service.DEFAULT_SIGNATURE
        if not isinstance(signature, str):
            raise model_service.BadRequestError('"signature_name" must be a string')
        arguments = list(self.service.arguments(signature))
        rows = "instances" in request
        if rows:
            columns = _columns(request["instances"], arguments=arguments)
        else:
            columns = _named(request["inputs"], arguments=arguments)
        inputs = {name: _decode_bytes(value) for name, value in columns.items()}
        outputs = self.service.predict(inputs, signature=signature)
        lists = {name: value.tolist() for name, value in outputs.items()}
        if not rows:
            return {"outputs": lists}
        names = list(lists)
        return {
            "predictions": [
                dict(zip(names, row, strict=True)) for row in zip(*lists.values(), strict=True)
            ]
        }

    def log_message(self, *_):
        """Requests are not logged; errors of ours are."""

    def log_error(self, format, *args):
        super().log_message(format, *args)


def _parse(body: bytes) -> dict:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise model_service.BadRequestError(f"JSON Parse Error: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise model_service.BadRequestError(
            'the request must be a JSON object with either "instances" or "inputs"'
        )
    return request


def _is_named(value, *, arguments: list[str]) -> bool:
    return isinstance(value, dict) and not (len(arguments) == 1 and value.keys() == {"b64"})


def _named(value, *, arguments: list[str]) -> dict:
    """argument -> value; a signature's only argument may come without its name."""
    if _is_named(value, arguments=arguments):
        return value
    if len(arguments) != 1:
        raise model_service.BadRequestError(f"each value must name its argument of {arguments}")
    return {arguments[0]: value}


def _columns(rows, *, arguments: list[str]) -> dict:
    if not isinstance(rows, list) or not rows:
        raise model_service.BadRequestError('"instances" must be a list of at least one row')
    named = [_named(row, arguments=arguments) for row in rows]
    if any(row.keys() != set(arguments) for row in named):
        raise model_service.BadRequestError(f"each instance must name exactly {arguments}")
    return {name: [row[name] for row in named] for name in arguments}


def _decode_bytes(value):
    """Lists of numbers as they are, {"b64": text} as bytes, text as UTF-8."""
    if isinstance(value, dict):
        text = value.get("b64")
        if value.keys() != {"b64"} or not isinstance(text, str):
            raise model_service.BadRequestError('an object must be {"b64": "base64 of the bytes"}')
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise model_service.BadRequestError(f"not base64: {error}") from error
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and value and isinstance(value[0], (dict, str)):
        return [_decode_bytes(item) for item in value]
    if isinstance(value, list):
        try:
            return np.array(value)
        except (ValueError, OverflowError) as error:
            raise model_service.BadRequestError(f"not a tensor: {error}") from error
    return value
