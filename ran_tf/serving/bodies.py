"""Bodies of requests, read within bounds on bytes and time."""

import asyncio
import contextlib
import json

from starlette.requests import Request
from starlette.responses import Response

from ran_tf.serving.limits import Limits

# Of a body that is refused: so much is thrown away before the connection is closed.
_MOST_DISCARDED = 2**28


class RefusedError(Exception):
    """A request that is answered with an error before its content is looked at.

    Args:
      status: of HTTP.
      message: for the client.
      close: whether the connection cannot be kept.
    """

    def __init__(self, status: int, message: str, *, close: bool = False):
        super().__init__(message)
        self.status, self.close = status, close


def refusal(error: RefusedError) -> Response:
    return Response(
        json.dumps({"error": str(error)}),
        error.status,
        headers={"Connection": "close"} if error.close else None,
        media_type="application/json",
    )


def refuse_unclear(app):
    """An ASGI application that takes requests alone whose end everybody sees at one place.

    A proxy may find another end of a body in chunks than we do, above all where a Content-Length
    stands beside it, and a client may make a chunk of every byte. The connection is closed, so that
    nothing behind the head is taken for a request.
    """

    async def guarded(scope, receive, send):
        error = None
        if scope["type"] == "http" and scope["http_version"] not in ("1.0", "1.1"):
            error = RefusedError(505, "the request must be HTTP/1.1 or HTTP/1.0", close=True)
        elif any(name == b"transfer-encoding" for name, _ in scope.get("headers", ())):
            error = RefusedError(
                411, "the request must have a Content-Length, and no Transfer-Encoding", close=True
            )
        await (app if error is None else refusal(error))(scope, receive, send)

    return guarded


class BodyReader:
    """Reads bodies; what it holds at once is bounded.

    Args:
      limits: on bytes and time.
    """

    def __init__(self, *, limits: Limits):
        self._limits, self._held = limits, 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request):
        """Yields the body of a request, bytes, and counts it as held until the block ends.

        Raises:
          RefusedError: for what is too long, comes too slowly, or comes beside too much else.
          ClientDisconnect: if the client goes away.
        """
        await self._check_declared(request)
        pieces: list[bytes] = []
        try:
            await self._collect(request, pieces)
            yield b"".join(pieces)
        finally:
            self._held -= sum(len(piece) for piece in pieces)

    async def _collect(self, request: Request, pieces: list[bytes]) -> None:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for piece in request.stream():
                    pieces.append(piece)
                    self._held += len(piece)
                    if self._held > limits.bodies_at_once * limits.request_bytes:
                        raise RefusedError(503, "too many requests at once", close=True)
        except TimeoutError as error:
            message = f"the body must arrive within {limits.body_seconds} s"
            raise RefusedError(408, message, close=True) from error

    async def _check_declared(self, request: Request) -> None:
        declared = request.headers.get("content-length")
        if declared is None:
            raise RefusedError(411, "the request must have a Content-Length")
        if int(declared) <= self._limits.request_bytes:
            return
        # Who waits to be told to send may send another request instead.
        waits = "expect" in request.headers
        if not waits:
            await _discard(request, seconds=self._limits.body_seconds)
        raise RefusedError(
            413,
            f"the request must have at most {self._limits.request_bytes:,} bytes. "
            f"Received: {int(declared):,} bytes",
            close=True,
        )


async def _discard(request: Request, *, seconds: float) -> None:
    """Closed on unread bytes a connection is reset, and a client that still sends gets none of the
    answer."""
    left = _MOST_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return
