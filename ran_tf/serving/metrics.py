"""What the REST server counts, in the text format of Prometheus.

Written by `prometheus_client`: it escapes labels, keeps histograms without a lock for each reader,
and tells the process' memory and open files; it needs Python alone.
"""

import time

import prometheus_client
from prometheus_client import exposition

from ran_tf.serving import batches
from ran_tf.serving.photo_service import PhotoAnswer

# Seconds: a face takes a few milliseconds, a photo some hundred.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Of one call of the network: requests that wait are joined to a few.
_CALL_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server.

    Attributes:
      content_type: of what `text` gives.
    """

    content_type = exposition.CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._requests = prometheus_client.Counter(
            "ran_requests",
            "Requests by endpoint and HTTP status.",
            ["asked", "status"],
            registry=registry,
        )
        self._seconds = prometheus_client.Histogram(
            "ran_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["asked"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._in_flight = prometheus_client.Gauge(
            "ran_requests_in_flight", "Requests that are not answered yet.", registry=registry
        )
        self._photos = prometheus_client.Counter(
            "ran_photos", "Photos received, by outcome.", ["outcome"], registry=registry
        )
        self._faces = prometheus_client.Counter(
            "ran_photo_faces", "Faces found in photos.", registry=registry
        )
        self._calls = prometheus_client.Histogram(
            "ran_call_crops",
            "Crops that one call of the network answered, of one request or of several.",
            registry=registry,
            buckets=_CALL_BUCKETS,
        )
        self._waiting = prometheus_client.Gauge(
            "ran_crop_requests_waiting",
            "Requests of crops that wait for the network.",
            registry=registry,
        )

    def text(self) -> bytes:
        return prometheus_client.generate_latest(self._registry)

    def count_photos(self, answer: PhotoAnswer) -> None:
        self._photos.labels("answered").inc(len(answer.photos) - answer.failed)
        self._photos.labels("refused").inc(answer.failed)
        self._faces.inc(answer.faces)

    def watch(self, line: batches.Batches) -> None:
        """Counts the calls of a line, and who waits in it."""
        line.on_call = self._calls.observe
        self._waiting.set_function(lambda: line.waiting)

    def measure(self, app):
        """An ASGI application whose requests are counted."""

        async def measured(scope, receive, send):
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            # Of a client that goes away before its answer.
            status = "none"

            async def noting(message):
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)

            began = time.perf_counter()
            self._in_flight.inc()
            try:
                await app(scope, receive, noting)
            finally:
                self._in_flight.dec()
                # Which the router has put there: names of ours, and not what a client asked for.
                asked = getattr(scope.get("endpoint"), "__name__", "unknown")
                self._requests.labels(asked, status).inc()
                self._seconds.labels(asked).observe(time.perf_counter() - began)

        return measured
