"""Answers requests with an export: whole photos, and face crops as TensorFlow Serving does.

    python -m ran_tf.launch.serve --model_dir=EXPORT_DIR [--rest_port=8501] [--grpc_port=8500]

Needs the extra `serve`: pip install "ran_tf[serve]". POST /v1/photos:predict takes photos, finds
their faces and classifies their expressions. With --nophotos the server takes only crops. Unless
--host says otherwise, it listens on this machine only. It has neither users nor encryption. It
loads the newest version once. Requests of crops that wait for the network are answered together.
On SIGTERM it finishes the requests that it has started.
"""

from absl import flags

from ran_tf.faces.detect import DetectorConfig
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags


def define_flags() -> None:
    flags.DEFINE_string(
        "model_dir", None, "Folder of an export, or of one version in it.", required=True
    )
    flags.DEFINE_string("model_name", "ran", "Name of the model in requests.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
    flags.DEFINE_integer("rest_port", 8501, "Port of REST; 0: any free one.", 0, 65535)
    flags.DEFINE_integer(
        "grpc_port", 8500, "Port of gRPC; 0: any free one; -1: no gRPC.", -1, 65535
    )
    flags.DEFINE_integer(
        "parallel", 2, "Number of calls of a network at the same time; other requests wait.", 1
    )
    flags.DEFINE_integer("max_request_mib", 64, "Largest request, MiB.", 1, 1024)
    flags.DEFINE_integer("max_batch", 128, "Largest number of crops in a request.", 1)
    flags.DEFINE_integer(
        "max_joined",
        8,
        "Largest number of crops of waiting requests that one call answers; 1: each request alone.",
        1,
    )
    flags.DEFINE_bool("photos", True, "Accept whole photos as well as crops.")
    launch_flags.define_training_flags(DetectorConfig)
    flags.DEFINE_integer("max_photos", 16, "Largest number of photos in a request.", 1)
    flags.DEFINE_float("max_megapixels", 33.6, "Largest photo, megapixels.", 0.001, 67.1)
    flags.DEFINE_integer(
        "max_faces",
        64,
        "Largest number of faces that are answered for in a photo; the largest faces are taken.",
        1,
    )
    flags.DEFINE_float(
        "max_seconds",
        60,
        "Time of a request after which no further photo is started, seconds.",
        0.001,
    )


def main() -> None:
    # Heavy imports wait until the flags are known to be good.
    import ran_tf

    ran_tf.serve(
        on_message=terminal.say,
        detector=launch_flags.train_config(flags.FLAGS, DetectorConfig),
        **command.chosen(
            *("model_dir", "model_name", "host", "rest_port", "grpc_port", "parallel"),
            *("max_request_mib", "max_batch", "max_joined", "photos"),
            *("max_photos", "max_megapixels", "max_faces", "max_seconds"),
        ),
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
