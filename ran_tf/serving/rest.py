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
import json
import re
import threading

from google.protobuf import json_format
from starlette import exceptions, routing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ran_tf.serving import batches, bodies, openapi, photo_requests, rest_json
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
    metrics.watch(service.batches)
    # JSON is parsed and the network run here, so that the loop goes on with other connections.
    # Photos have threads of their own: in the others requests of crops wait for each other.
    pool = concurrent.futures.ThreadPoolExecutor(batches.MOST_WAITING, thread_name_prefix="crops")
    photo_pool = concurrent.futures.ThreadPoolExecutor(
        service.parallel, thread_name_prefix="photos"
    )
    # JSON takes several times its bytes while it is parsed.
    reading = threading.BoundedSemaphore(service.parallel)
    reader = bodies.BodyReader(limits=limits)

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        for threads in (pool, photo_pool):
            threads.shutdown(wait=False, cancel_futures=True)

    async def status(request):
        _find(service, request)
        return _json(_status(service))

    async def metadata(request):
        _find(service, request)
        return _json(_metadata(service))

    async def predict(request):
        async with reader.read(request) as body:
            _find(service, request)
            ticket: batches.Ticket = concurrent.futures.Future()
            work = pool.submit(_predict, service, body, reading=reading, ticket=ticket)
            answer = await _in_turn(request, work, ticket=ticket, seconds=limits.queue_seconds)
        headers = {_NOTE: answer["note"]} if answer["note"] else None
        return Response(answer["body"], headers=headers, media_type="application/json")

    async def predict_photos(request):
        assert photos is not None  # there is no such route
        async with reader.read(request) as body:
            uploads = await photo_requests.read_uploads(body, request.headers, limits=limits)
            work = photo_pool.submit(photos.predict, uploads)
            answer = await _in_turn(request, work, ticket=work, seconds=limits.queue_seconds)
        metrics.count_photos(answer)
        return _json(_photos(service, answer), status=answer.status)

    async def alive(_):
        return _json({"status": "alive"})

    async def ready(_):
        return _json({"status": "ready"})

    async def count(_):
        return Response(metrics.text(), media_type=metrics.content_type)

    async def describe(_):
        return _json(openapi.describe(limits=limits, card=photos.card if photos else None))

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


async def _in_turn(
    request: Request,
    begun: concurrent.futures.Future,
    *,
    ticket: concurrent.futures.Future,
    seconds: float,
):
    """What `begun` gives. `ticket` is cancelled if the client goes away before its turn, or waits
    for it too long."""
    work = asyncio.wrap_future(begun)
    # After a body comes only the news that the client is gone.
    gone = asyncio.ensure_future(request.receive())
    first = asyncio.FIRST_COMPLETED
    try:
        done, _ = await asyncio.wait({work, gone}, timeout=seconds, return_when=first)
        if not done and ticket.cancel():
            raise bodies.RefusedError(503, f"not started within {seconds} s: too many requests")
        await asyncio.wait({work, gone}, return_when=first)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        ticket.cancel()
        begun.cancel()
        gone.cancel()


def _predict(
    service: model_service.ModelService,
    body: bytes,
    *,
    reading: threading.Semaphore,
    ticket: batches.Ticket,
) -> dict | None:
    """{"body": of the answer, "note"}, None for a ticket that was cancelled; in a thread."""
    with reading:
        asked, by_row = _read(service, body)
    try:
        answer = service.answer(asked, ticket=ticket)
    except concurrent.futures.CancelledError:
        return None
    return {"body": rest_json.to_answer(answer.outputs, by_row=by_row), "note": answer.note}


def _read(service: model_service.ModelService, body: bytes) -> tuple[model_service.Asked, bool]:
    """What a request asks, and whether by rows."""
    request = rest_json.parse_request(body)
    signature = request.signature_name or model_service.DEFAULT_SIGNATURE
    inputs = rest_json.read_inputs(request, arguments=service.arguments(signature))
    return service.read(inputs, signature=signature), request.is_by_row


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
