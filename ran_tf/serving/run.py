"""The server, from an export to its answers."""

import contextlib
import importlib.util
import os
import signal
import threading
from collections.abc import Callable

from ran_tf.faces.detect import DEFAULT, DetectorConfig
from ran_tf.serving import listen
from ran_tf.weights import export_folder

# The modules of the extra.
_NEEDS = (
    *("grpc", "msgspec", "prometheus_client", "python_multipart", "starlette"),
    *("tensorflow_serving", "uvicorn"),
)


def serve(
    model_dir: str | os.PathLike,
    *,
    model_name: str = "ran",
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    parallel: int = 2,
    max_request_mib: int = 64,
    max_batch: int = 128,
    max_joined: int = 8,
    photos: bool = True,
    detector: str | DetectorConfig = DEFAULT,
    max_photos: int = 16,
    max_megapixels: float = 33.6,
    max_faces: int = 64,
    max_seconds: float = 60.0,
    on_message: Callable[[str], None] = print,
) -> None:
    """Serves an export until SIGTERM or Ctrl-C.

    It then answers the requests that it has begun, and returns. Needs the extra `serve`.

    Args:
      model_dir: folder of an export, whose newest version is served, or of one version in it.
      model_name: name of the model in requests.
      host: address to listen on.
      rest_port, grpc_port: ports; 0 is any free port. `grpc_port=-1` switches gRPC off.
      parallel: number of calls of a network at the same time; other requests wait.
      max_request_mib: largest request, MiB.
      max_batch: largest number of crops in a request.
      max_joined: largest number of crops of waiting requests that one call answers; with 1 each
        request is answered alone.
      photos: accept whole photos as well as crops.
      detector: name of the detector of faces, or a `ran_tf.DetectorConfig`.
      max_photos, max_megapixels: largest number of photos in a request, and largest photo in
        megapixels.
      max_faces: largest number of faces that are answered for in a photo; the largest are taken.
      max_seconds: time of a request after which no further photo is started, seconds.
      on_message: called with each address at which the server answers.

    Raises:
      FileNotFoundError: if there is no export.
      OSError: if a port is taken.
      RuntimeError: without the extra.

    Example:
      >>> ran_tf.serve("no_export")
      Traceback (most recent call last):
        ...
      FileNotFoundError: ...
    """
    version = export_folder.find_version(model_dir)
    if version is None:
        raise FileNotFoundError(
            "`model_dir` must hold an export, or be a version of one; write one with "
            f"python -m ran_tf.launch.export. Received: model_dir={str(model_dir)!r}"
        )
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f'serve needs {", ".join(missing)}: pip install "ran_tf[serve]"')
    # Before TensorFlow is loaded: a port in use is said at once.
    web_socket = listen.listen(host=host, port=rest_port, flag="--rest_port")
    # gRPC takes no socket: this one keeps the port until then.
    remote_socket = None
    if grpc_port >= 0:
        remote_socket = listen.listen(host=host, port=grpc_port, flag="--grpc_port")
    from ran_tf.inference.predictor import Predictor
    from ran_tf.serving import grpc_service, limits, photo_service, rest, service, web

    model = service.ModelService(
        version,
        name=model_name,
        parallel=parallel,
        max_batch=max_batch,
        max_joined=max_joined,
        face_size=export_folder.read_card(version).image_size,
    )
    bounds = limits.Limits(
        request_bytes=max_request_mib * 2**20,
        photos=max_photos,
        pixels=round(max_megapixels * 1e6),
        faces=max_faces,
        photo_seconds=max_seconds,
    )
    of_photos = None
    if photos:
        predictor = Predictor(version, detector=detector)
        of_photos = photo_service.PhotoService(predictor, limits=bounds, turn=model.turn)
        of_photos.warm_up()
    app = rest.make_app(model, limits=bounds, photos=of_photos)
    server = web.make_server(app, limits=bounds)
    remote = None
    if remote_socket is not None:
        port = remote_socket.getsockname()[1]
        remote_socket.close()
        remote = grpc_service.make_server(
            model, host=host, port=port, max_request_bytes=bounds.request_bytes
        )
        remote["server"].start()
        on_message(f"gRPC: {host}:{remote['port']}")
    address = f"http://{host}:{web_socket.getsockname()[1]}"
    on_message(f"REST: {address}/v1/models/{model.name}")
    if photos:
        on_message(f"photos: {address}/v1/photos:predict")
    with _stopped_by_signals(server):
        server.run(sockets=[web_socket])
    if remote is not None:
        remote["server"].stop(grace=5).wait()


@contextlib.contextmanager
def _stopped_by_signals(server):
    """uvicorn catches signals while it runs, and raises them again when it has stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
