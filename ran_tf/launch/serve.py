"""Answers requests with an export: whole photos, and face crops as TensorFlow Serving does.

    python -m ran_tf.launch.serve --model_dir=EXPORT_DIR [--rest_port=8501] [--grpc_port=8500]

Needs the extra `serve`: pip install "ran_tf[serve]". POST /v1/photos:predict takes photos, finds
their faces and says what they express; --nophotos takes crops alone. The server listens on this
machine alone, knows neither users nor encryption, loads the newest version once, and does not batch
requests: for many crops use TensorFlow Serving on the same folder. On SIGTERM it answers what it
has begun.
"""

from absl import flags

from ran_tf.faces.detect import DetectorConfig
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags


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
    launch_flags.define_training_flags(DetectorConfig)
    flags.DEFINE_integer("max_photos", 16, "Requests with more photos are refused.", 1)
    flags.DEFINE_float("max_megapixels", 33.6, "Of a photo; larger ones are refused.", 0.001, 67.1)
    flags.DEFINE_integer("max_faces", 64, "Of a photo: so many, the largest, are answered.", 1)
    flags.DEFINE_float("max_seconds", 60, "After which no further photo is begun.", 0.001)


def main() -> None:
    # Heavy imports wait until the flags are known to be good.
    import ran_tf

    ran_tf.serve(
        on_message=terminal.say,
        detector=launch_flags.train_config(flags.FLAGS, DetectorConfig),
        **command.chosen(
            *("model_dir", "model_name", "host", "rest_port", "grpc_port", "parallel"),
            *("max_request_mib", "max_batch", "photos", "max_photos"),
            *("max_megapixels", "max_faces", "max_seconds"),
        ),
    )


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
