"""python -m ran_tf.launch.demo [--model=PRESET|EXPORT_DIR|WORKDIR] [--port=7860]

A page on this machine: drop a photo or use the camera, see the expression of a face and what each
region counted, and cover parts of it. Needs the extra `demo`: pip install "ran_tf[demo]".

The page is for this machine only, unless --host says otherwise. Browsers give the camera to pages
of their own machine and to https, not to plain http from elsewhere.
"""

import os
import signal
import sys
import tempfile
import threading

from absl import flags

from ran_tf.faces.detect import DETECTORS
from ran_tf.launch import command

_LOOPBACK = "127.0.0.1"


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("model", "ran_faceres_ferplus", "Preset, export or workdir of a run.")
    flags.DEFINE_string(
        "baseline",
        None,
        "Another to show beside it; empty for none. When absent the packaged whole-face network, "
        "if it has the labels of --model.",
    )
    flags.DEFINE_enum("detector", "mtcnn", DETECTORS, "That finds the faces.")
    flags.DEFINE_string("host", _LOOPBACK, "Address to serve on; 0.0.0.0 lets everybody in.")
    flags.DEFINE_integer("port", 7860, "Port to serve on.", lower_bound=1, upper_bound=65535)
    flags.DEFINE_float("max_megabytes", 10.0, "Largest upload.", lower_bound=0.1, upper_bound=256)


def main() -> None:
    values = flags.FLAGS
    # Imported here: the flags of a mistyped command are checked without Gradio and TensorFlow.
    from ran_tf.demo import explain

    # Otherwise the end of the process would leave the folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="ran_tf_demo_") as folder:
        # Uploads pass through it; Gradio reads the variable when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            from ran_tf.demo import page
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f'the demo needs Gradio: pip install "ran_tf[demo]". Received: {error}'
            ) from error
        networks = explain.load_networks(
            values.model, baseline=values.baseline, detector=values.detector
        )
        built = page.build(networks, max_megabytes=values.max_megabytes)
        url = page.serve(
            built, host=values.host, port=values.port, max_megabytes=values.max_megabytes
        )
        print(f"Open {url} in a browser; Ctrl-C ends it.", flush=True)
        if values.host not in (_LOOPBACK, "localhost", "::1"):
            print("Everybody who reaches this address can use the page.", file=sys.stderr)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nstopped")
        finally:
            built.close(verbose=False)


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
