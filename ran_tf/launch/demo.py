"""python -m ran_tf.launch.demo [--model=PRESET|EXPORT_DIR|WORKDIR] [--port=7860]

A page on this machine: drop a photo or use the camera, see the expression of a face and what each
region counted, and cover parts of it. Needs the extra `demo`: pip install "ran_tf[demo]".

The page is for this machine only, unless --host says otherwise. Browsers give the camera to pages
of their own machine and to https, not to plain http from elsewhere. Behind a proxy, --allowed_hosts
names the page as browsers see it, and the proxy hands on their Host or X-Forwarded-Host.
"""

import os
import signal
import sys
import tempfile

from absl import flags

from ran_tf.launch import command, terminal

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
    command.define_detector_flag("That finds the faces.")
    flags.DEFINE_string("host", _LOOPBACK, "Address to serve on; 0.0.0.0 lets everybody in.")
    flags.DEFINE_integer("port", 7860, "Port to serve on.", lower_bound=1, upper_bound=65535)
    flags.DEFINE_list(
        "allowed_hosts",
        [],
        "Names that the page answers to besides that of --host, such as a proxy's: others are "
        "refused, because a hostile page can let its own name point here.",
    )
    flags.DEFINE_float("max_megabytes", 10.0, "Largest upload.", lower_bound=0.1, upper_bound=256)


def main() -> None:
    values = flags.FLAGS
    # Imported here: the flags of a mistyped command are checked without Gradio and TensorFlow.
    from ran_tf.demo import hosts, uploads
    from ran_tf.serving.listen import listen

    names = hosts.find_hosts(values.host, allowed=values.allowed_hosts)
    # Before anything is loaded, which takes ten seconds.
    listening = listen(host=values.host.strip("[]"), port=values.port, flag="--port")
    # Otherwise the end of the process would leave the folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="ran_tf_demo_") as folder:
        # For what Gradio may write; it reads the variable when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            from ran_tf.demo import page, server
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f'the demo needs Gradio: pip install "ran_tf[demo]". Received: {error}'
            ) from error
        from ran_tf.demo import explain

        networks = explain.load_networks(
            values.model, baseline=values.baseline, detector=values.detector
        )
        waiting = uploads.Uploads(folder, max_bytes=int(values.max_megabytes * 2**20))
        blocks = page.build(networks, max_bytes=waiting.max_bytes)
        app = server.create_app(blocks, hosts=names, uploads=waiting)
        serving = server.serve(app, listening=listening, uploads=waiting)
        terminal.say(f"Open {_address(values.host, values.port)} in a browser; Ctrl-C ends it.")
        if values.host not in (_LOOPBACK, "localhost", "::1"):
            terminal.say("Everybody who reaches this address can use the page.", error=True)
        try:
            serving.join()
            raise RuntimeError("the page's server has ended; the lines above say why")
        except KeyboardInterrupt:
            terminal.say("stopped")


def _address(host: str, port: int) -> str:
    bare = host.strip("[]")
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(bare, bare)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
