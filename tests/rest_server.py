"""The REST server in a thread of the test's process."""

import contextlib
import threading

from ran_tf.serving import limits, listen, rest, web


@contextlib.contextmanager
def serve(model, *, max_request_bytes: int = 2**20, **bounds):
    """Runs it; yields its port. `bounds` are further `Limits`."""
    socket = listen.listen(host="127.0.0.1", port=0, flag="--rest_port")
    bounds = limits.Limits(request_bytes=max_request_bytes, **bounds)
    server = web.make_server(rest.make_app(model, limits=bounds), limits=bounds)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
