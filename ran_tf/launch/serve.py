"""Answers requests with an export, as TensorFlow Serving does: for tests and small loads.

    python -m ran_tf.launch.serve --model_dir=EXPORT_DIR [--rest_port=8501] [--grpc_port=8500]

REST needs nothing more; gRPC needs the extra `serve` and is left out without it. It listens on this
machine alone, knows neither users nor encryption, loads the newest version once, and does not batch
requests: for production use TensorFlow Serving on the same folder.
"""

import importlib.util
import signal
import threading

from absl import flags

from ran_tf.launch import command


def define_flags() -> None:
    flags.DEFINE_string("model_dir", None, "EXPORT_DIR or one version in it.", required=True)
    flags.DEFINE_string("model_name", "ran", "What clients call the model.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
    flags.DEFINE_integer("rest_port", 8501, "0 is any that is free.", 0, 65535)
    flags.DEFINE_integer("grpc_port", 8500, "0 is any that is free; -1 is no gRPC.", -1, 65535)
    flags.DEFINE_integer("parallel", 2, "Predictions that run at once; others wait.", 1)
    flags.DEFINE_integer("max_request_mib", 64, "Longer requests are refused.", 1, 1024)


def main() -> None:
    from ran_tf import export
    from ran_tf.serving import rest, service

    values = flags.FLAGS
    version = export.find_version(values.model_dir)
    if version is None:
        raise FileNotFoundError(
            "--model_dir must hold an export, or be a version of one; write one with "
            f"python -m ran_tf.launch.export. Received: --model_dir={values.model_dir}"
        )
    model = service.ModelService(version, name=values.model_name, parallel=values.parallel)
    limits = {"host": values.host, "max_request_bytes": values.max_request_mib * 2**20}
    web = rest.make_server(model, port=values.rest_port, **limits)
    remote = None
    if values.grpc_port >= 0 and importlib.util.find_spec("tensorflow_serving") is None:
        print('gRPC: left out; it needs pip install "ran_tf[serve]"')
    elif values.grpc_port >= 0:
        from ran_tf.serving import grpc_service

        remote = grpc_service.make_server(model, port=values.grpc_port, **limits)
        remote["server"].start()
        print(f"gRPC: {values.host}:{remote['port']}")
    address = f"http://{values.host}:{web.server_address[1]}/v1/models/{model.name}"
    print(f"REST: {address}", flush=True)
    # A server is stopped by SIGTERM as by Ctrl-C; `shutdown` waits for the loop, hence the thread.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=web.shutdown).start())
    web.serve_forever()
    web.server_close()
    if remote is not None:
        remote["server"].stop(grace=5).wait()


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
