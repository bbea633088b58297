"""The REST interface, as an ASGI application. Needs the extra `serve`.

    POST /v1/photos:predict                       photos, as a form or one as the body

    GET  /v1/models/NAME[/versions/N]             is it there
    GET  /v1/models/NAME[/versions/N]/metadata    its signatures
    POST /v1/models/NAME[/versions/N]:predict     {"signature_name"?, "instances" | "inputs"}

    GET  /healthz, /readyz                        for probes
    GET  /metrics                                 for Prometheus
    GET  /openapi.json                            what all this takes and gives

The second group is TensorFlow Serving's. "instances" is a list of rows, "inputs" an object of
columns; either leaves out the argument's name where a signature has one argument. Bytes are
{"b64": "..."}.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import re

from google.protobuf import json_format
from starlette import exceptions, routing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ran_tf.serving import bodies, openapi, photo_requests, rest_json
from ran_tf.serving import service as model_service
from ran_tf.serving.limits import Limits
from ran_tf.serving.metrics import Metrics
from ran_tf.serving.photo_service import PhotoAnswer, PhotoService

# The header that says of a request's images what `Answer.note` does.
_NOTE = "Ran-Note"


def make_app(
    service: model_service.ModelService, *, limits: Limits, photos: PhotoService | None = None
):
    """An ASGI application, for `ran_tf.serving.web.make_server`.

    Args:
      service: what answers.
      limits: on bytes and time.
      photos: what answers for photos; None takes none.
    """
    metrics = Metrics()
    # JSON is parsed and the network run here, so that the loop goes on with other connections.
    pool = concurrent.futures.ThreadPoolExecutor(service.parallel, thread_name_prefix="rest")
    reader = bodies.BodyReader(limits=limits)

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        pool.shutdown(wait=False, cancel_futures=True)

    async def status(request):
        _find(service, request)
        return _json(_status(service))

    async def metadata(request):
        _find(service, request)
        return _json(_metadata(service))

    async def predict(request):
        async with reader.read(request) as body:
            _find(service, request)
            call = functools.partial(_predict, service, body)
            answer = await _in_turn(request, pool=pool, call=call, seconds=limits.queue_seconds)
        headers = {_NOTE: answer["note"]} if answer["note"] else None
        return Response(answer["body"], headers=headers, media_type="application/json")

    async def predict_photos(request):
        assert photos is not None  # there is no such route
        async with reader.read(request) as body:
            uploads = await photo_requests.read_uploads(body, request.headers, limits=limits)
            call = functools.partial(photos.predict, uploads)
            answer = await _in_turn(request, pool=pool, call=call, seconds=limits.queue_seconds)
        metrics.count_photos(answer)
        return _json(_photos(service, answer), status=answer.status)

    async def alive(_):
        return _json({"status": "alive"})

    async def ready(_):
        return _json({"status": "ready"})

    async def count(_):
        return Response(metrics.text(), media_type=metrics.content_type)

    async def describe(_):
        return _json(openapi.describe(limits=limits, labels=photos.labels if photos else None))

    routes = [
        # Models are loaded before requests are taken, so that who is alive is ready.
        routing.Route("/healthz", alive),
        routing.Route("/readyz", ready),
        routing.Route("/metrics", count),
        routing.Route("/openapi.json", describe),
    ]
    if photos is not None:
        routes.append(routing.Route("/v1/photos:predict", predict_photos, methods=["POST"]))
    for model in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        routes += [
            routing.Route(f"{model}:predict", predict, methods=["POST"]),
            routing.Route(f"{model}/metadata", metadata),
            routing.Route(model, status),
        ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            bodies.RefusedError: lambda _, error: bodies.refusal(error),
            model_service.NotServedError: lambda _, error: _error(404, error),
            model_service.BadRequestError: lambda _, error: _error(400, error),
            MemoryError: lambda _, error: _error(503, f"out of memory: {error}"),
            # Nobody is there to read it.
            ClientDisconnect: lambda _, error: _error(400, error),
            exceptions.HTTPException: _malformed,
            Exception: lambda _, error: _error(500, f"internal error: {error!r}"),
        },
    )
    app.router.redirect_slashes = False
    return metrics.measure(bodies.refuse_unclear(app))


def _json(body: dict, *, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")


def _error(status: int, error) -> Response:
    return _json({"error": str(error)}, status=status)


def _malformed(request: Request, _) -> Response:
    return _error(404, f"Malformed request: {request.method} {request.url.path}")


def _find(service: model_service.ModelService, request: Request) -> None:
    version = request.path_params.get("version")
    # int() refuses thousands of digits.
    if version is not None and not re.fullmatch("[0-9]{1,18}", version):
        raise exceptions.HTTPException(404)
    service.find(
        name=request.path_params["name"], version=None if version is None else int(version)
    )


async def _in_turn(request: Request, *, pool: concurrent.futures.Executor, call, seconds: float):
    """What `call` gives, in a thread; not called if the client goes away before its turn."""
    begun = pool.submit(call)
    work = asyncio.wrap_future(begun)
    # After a body comes only the news that the client is gone.
    gone = asyncio.ensure_future(request.receive())
    first = asyncio.FIRST_COMPLETED
    try:
        done, _ = await asyncio.wait({work, gone}, timeout=seconds, return_when=first)
        if not done and begun.cancel():
            raise bodies.RefusedError(503, f"not started within {seconds} s: too many requests")
        await asyncio.wait({work, gone}, return_when=first)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        begun.cancel()
        gone.cancel()


def _predict(service: model_service.ModelService, body: bytes) -> dict:
    """{"body": of the answer, "note"}; in a thread of the pool."""
    with service.turn:
        request = rest_json.parse_request(body)
        signature = request.signature_name or model_service.DEFAULT_SIGNATURE
        inputs = rest_json.read_inputs(request, arguments=service.arguments(signature))
        answer = service.predict(inputs, signature=signature)
        text = rest_json.to_answer(answer.outputs, by_row=request.is_by_row)
    return {"body": text, "note": answer.note}


def _photos(service: model_service.ModelService, answer: PhotoAnswer) -> dict:
    model = {"name": service.name, "version": service.version}
    said = {"model": model, "photos": answer.photos}
    if answer.status == 200:
        return said
    # Where every other error is, too.
    return said | {"error": f"no photo could be used: {answer.photos[0]['error']}"}


def _status(service: model_service.ModelService) -> dict:
    state = {
        "version": str(service.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return {"model_version_status": [state]}


def _metadata(service: model_service.ModelService) -> dict:
    signatures = {
        name: json_format.MessageToDict(value, preserving_proto_field_name=True)
        for name, value in service.signature_def.items()
    }
    spec = {"name": service.name, "signature_name": "", "version": str(service.version)}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
