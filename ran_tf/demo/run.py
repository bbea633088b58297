"""The page, from its networks to its server."""

import os
import tempfile
from collections.abc import Callable, Sequence

from ran_tf.demo import hosts, uploads
from ran_tf.faces import detect
from ran_tf.serving.listen import listen

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run_demo(
    model: str | os.PathLike = "ran_faceres_ferplus",
    *,
    baseline: str | os.PathLike | None = None,
    detector: str | detect.DetectorConfig = detect.DEFAULT,
    engine: str = "auto",
    host: str = "127.0.0.1",
    port: int = 7860,
    allowed_hosts: Sequence[str] = (),
    max_megabytes: float = 10.0,
    on_message: Callable[[str], None] = print,
) -> None:
    """Serves a page: drop a photo, see where a network looks, and cover parts of the face.

    This function does not return. Ctrl-C (in a notebook: interrupt) ends it with a
    KeyboardInterrupt. Needs the extra `demo`.

    Args:
      model: any source that `ran_tf.Predictor` takes.
      baseline: another model with the same labels, shown beside it; "" for none. None is the
        packaged whole-face network, if its labels are those of `model`.
      detector: name of the detector of faces, or a `ran_tf.DetectorConfig`.
      engine: "auto", "onnx" or "keras", see `ran_tf.Predictor`.
      host: address to listen on; "0.0.0.0" accepts connections from everywhere.
      port: port to listen on.
      allowed_hosts: further names of the page, besides that of `host`, such as a proxy's.
      max_megabytes: largest upload, MiB.
      on_message: called with the address of the page, and whether others can reach it.

    Raises:
      FileNotFoundError, ValueError: for a model or baseline that cannot be used, or a wrong name.
      OSError: if the port is taken.
      RuntimeError: without Gradio, or when the page's server ends.

    Example:
      >>> ran_tf.run_demo("ran_faceres_ferplus")  # doctest: +SKIP
    """
    names = hosts.find_hosts(host, allowed=allowed_hosts)
    # Before anything is loaded, which takes ten seconds.
    listening = listen(host=host.strip("[]"), port=port, flag="--port")
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
            model, baseline=baseline, detector=detect.as_config(detector), engine=engine
        )
        waiting = uploads.Uploads(folder, max_bytes=int(max_megabytes * 2**20))
        blocks = page.build(networks, max_bytes=waiting.max_bytes)
        app = server.create_app(blocks, hosts=names, uploads=waiting)
        serving = server.serve(app, listening=listening, uploads=waiting)
        on_message(f"Open {_address(host, port)} in a browser; Ctrl-C ends it.")
        if host not in _LOOPBACK:
            on_message("Everyone who can reach this address can use the page.")
        serving.join()
        raise RuntimeError("the page's server has ended; the lines above say why")


def _address(host: str, port: int) -> str:
    bare = host.strip("[]")
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(bare, bare)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
