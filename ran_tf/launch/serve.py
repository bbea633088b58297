"""Answers requests with an export: whole photos, and face crops as TensorFlow Serving does.

    python -m ran_tf.launch.serve --model_dir=EXPORT_DIR [--rest_port=8501] [--grpc_port=8500]

Needs the extra `serve`: pip install "ran_tf[serve]". POST /v1/photos:predict takes photos, finds
their faces and says what they express; --nophotos takes crops alone. The server listens on this
machine alone, knows neither users nor encryption, loads the newest version once, and does not batch
requests: for many crops use TensorFlow Serving on the same folder. On SIGTERM it answers what it
has begun.
"""

import importlib.util
import signal

from absl import flags

from ran_tf.launch import command, terminal

# The modules of the extra.
_NEEDS = (
    *("grpc", "msgspec", "prometheus_client", "python_multipart", "starlette"),
    *("tensorflow_serving", "uvicorn"),
)


def define_flags() -> None:
    flags.DEFINE_string("model_dir", None, "EXPORT_DIR or one version in it.", required=True)
    flags.DEFINE_string("model_name", "ran", "What clients call the model.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
    flags.DEFINE_integer("rest_port", 8501, "0 is any that is free.", 0, 65535)
    flags.DEFINE_integer("grpc_port", 8500, "0 is any that is free; -1 is no gRPC.", -1, 65535)
    flags.DEFINE_integer("parallel", 2, "Requests that are worked on at once; others wait.", 1)
    flags.DEFINE_integer("max_request_mib", 64, "Longer requests are refused.", 1, 1024)
    flags.DEFINE_integer("max_batch", 128, "Requests with more crops are refused.", 1)
    flags.DEFINE_bool("photos", True, "Take photos, too.")
    command.define_detector_flag("Detector of photos.")
    flags.DEFINE_integer("max_photos", 16, "Requests with more photos are refused.", 1)
    flags.DEFINE_float("max_megapixels", 33.6, "Of a photo; larger ones are refused.", 0.001, 67.1)
    flags.DEFINE_integer("max_faces", 64, "Of a photo: so many, the largest, are answered.", 1)
    flags.DEFINE_float("max_seconds", 60, "After which no further photo is begun.", 0.001)


def main() -> None:
    from ran_tf.serving import listen

    values = flags.FLAGS
    check_installed()
    # Before TensorFlow is loaded: a port in use is said at once.
    web_socket = listen.listen(host=values.host, port=values.rest_port, flag="--rest_port")
    # gRPC takes no socket: this one keeps the port until then.
    remote_socket = None
    if values.grpc_port >= 0:
        remote_socket = listen.listen(host=values.host, port=values.grpc_port, flag="--grpc_port")
    import ran_tf
    from ran_tf.exports import export
    from ran_tf.serving import grpc_service, limits, photo_service, rest, service, web

    version = export.find_version(values.model_dir)
    if version is None:
        raise FileNotFoundError(
            "--model_dir must hold an export, or be a version of one; write one with "
            f"python -m ran_tf.launch.export. Received: --model_dir={values.model_dir}"
        )
    model = service.ModelService(
        version,
        name=values.model_name,
        parallel=values.parallel,
        max_batch=values.max_batch,
        face_size=export.read_card(version).image_size,
    )
    bounds = limits.Limits(
        request_bytes=values.max_request_mib * 2**20,
        photos=values.max_photos,
        pixels=round(values.max_megapixels * 1e6),
        faces=values.max_faces,
        photo_seconds=values.max_seconds,
    )
    photos = None
    if values.photos:
        predictor = ran_tf.Predictor(version, detector=values.detector)
        photos = photo_service.PhotoService(predictor, limits=bounds, turn=model.turn)
        photos.warm_up()
    app = rest.make_app(model, limits=bounds, photos=photos)
    server = web.make_server(app, limits=bounds)
    remote = None
    if remote_socket is not None:
        port = remote_socket.getsockname()[1]
        remote_socket.close()
        remote = grpc_service.make_server(
            model, host=values.host, port=port, max_request_bytes=bounds.request_bytes
        )
        remote["server"].start()
        terminal.say(f"gRPC: {values.host}:{remote['port']}")
    address = f"http://{values.host}:{web_socket.getsockname()[1]}"
    terminal.say(f"REST: {address}/v1/models/{model.name}")
    if photos is not None:
        terminal.say(f"photos: {address}/v1/photos:predict")
    # uvicorn catches signals while it runs, and raises them again when it has stopped.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[web_socket])
    if remote is not None:
        remote["server"].stop(grace=5).wait()


def check_installed() -> None:
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f'serve needs {", ".join(missing)}: pip install "ran_tf[serve]"')


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
