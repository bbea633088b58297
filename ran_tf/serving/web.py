"""An ASGI application on uvicorn, with the clocks that uvicorn leaves to a proxy.

uvicorn parses with h11, which takes a request one way only: that is what keeps one request from
being read as two behind a proxy. On SIGTERM it answers what it has begun.
"""

import asyncio
import logging
import re

import h11
import uvicorn
from uvicorn.protocols.http import h11_impl

from ran_tf.serving.limits import Limits

# At most so much is parsed before other connections have their turn.
_READ_BYTES = 2**16


def make_server(app, *, limits: Limits) -> uvicorn.Server:
    """A server that `run(sockets=[...])` runs until SIGTERM, SIGINT or `should_exit`.

    Args:
      app: ASGI application.
      limits: on connections and time.
    """

    class Protocol(_Protocol):
        stall_seconds = limits.head_seconds

    config = uvicorn.Config(
        _take_addresses(app),
        http=Protocol,
        loop="asyncio",
        ws="none",
        access_log=False,
        log_config=None,
        # Below it a line for each malformed request.
        log_level=logging.ERROR,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.head_bytes,
        # It takes parts of seconds, too.
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=limits.grace_seconds,  # type: ignore[arg-type]
    )
    return uvicorn.Server(config)


def _take_addresses(app):
    """A request may name a whole address, http://HOST/PATH, as it does to a proxy."""

    async def plain(scope, receive, send):
        address = re.match("(?i)https?://[^/?#]+", scope.get("path", ""))
        if address:
            scope = {**scope, "path": scope["path"][address.end() :] or "/"}
        await app(scope, receive, send)

    return plain


class _Protocol(h11_impl.H11Protocol):
    """Closes what stalls, and answers clients that have closed their half of the connection."""

    stall_seconds: float
    _clock: asyncio.TimerHandle | None = None
    _ended = False  # the client has sent all that it will

    def connection_made(self, transport):
        transport.max_size = _READ_BYTES
        super().connection_made(transport)
        self._watch()

    def data_received(self, data):
        super().data_received(data)
        self._watch()

    def on_response_complete(self):
        super().on_response_complete()
        if self._ended and (self._is_between_requests() or self.cycle.more_body):
            self.transport.close()
        self._watch()

    def eof_received(self):
        self._ended = True
        # True leaves the other half open for the answer.
        return not self._is_between_requests() and not self.cycle.more_body

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._stop_clock()

    def pause_writing(self):
        super().pause_writing()
        self._watch()

    def resume_writing(self):
        super().resume_writing()
        self._watch()

    def timeout_keep_alive_handler(self):
        # `close` would wait for a client that does not take its answer.
        self.transport.abort()

    def send_400_response(self, msg):
        if self.cycle is not None:
            # Its application, if it still works on an answer, sends it to nobody.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _waits_for_client(self) -> bool:
        """For the rest of a head, or of a body that was answered unread, or to take an answer.

        Bodies that are read have their own clock, and `timeout_keep_alive` is that of connections
        on which nothing has begun."""
        has_begun = self.conn.trailing_data[0] or self.conn.their_state is h11.SEND_BODY
        return self.flow.write_paused or (
            self._is_between_requests() and (self.cycle is None or bool(has_begun))
        )

    def _watch(self) -> None:
        """A byte now and then does not set the clock back."""
        # What is closing may still have an answer to give.
        if not self.transport.is_closing() and not self._waits_for_client():
            self._stop_clock()
        elif self._clock is None:
            self._clock = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
