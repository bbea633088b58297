"""python -m ran_tf.launch.demo [--model=PRESET|EXPORT_DIR|WORKDIR] [--port=7860]

Opens a page on this machine. Drop a photo or use the camera. The page shows the expression of a
face and the weight of each region, and lets you cover parts of the face. Needs the extra `demo`:
pip install "ran_tf[demo]".

Only this machine can open the page, unless --host says otherwise. Browsers allow the camera on
pages of their own machine and on https pages, but not on plain http pages of other machines. Behind
a proxy, set --allowed_hosts to the name under which browsers open the page. The proxy must pass on
the browsers' Host or X-Forwarded-Host.
"""

import signal
import sys

from absl import flags

from ran_tf.faces.detect import DetectorConfig
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string(
        "model", "ran_faceres_ferplus", "A preset, an export or the work directory of a run."
    )
    flags.DEFINE_string(
        "baseline",
        None,
        "Another model, shown beside --model; empty for none. When absent, the packaged "
        "whole-face network, if it has the labels of --model.",
    )
    launch_flags.define_training_flags(DetectorConfig)
    command.define_engine_flag()
    flags.DEFINE_string(
        "host", "127.0.0.1", "Address to listen on; 0.0.0.0 accepts connections from everywhere."
    )
    flags.DEFINE_integer("port", 7860, "Port to listen on.", lower_bound=1, upper_bound=65535)
    flags.DEFINE_list(
        "allowed_hosts",
        [],
        "Further host names of the page besides --host, such as a proxy's. Requests for other "
        "names are refused, because a hostile page can make its own name point here.",
    )
    flags.DEFINE_float(
        "max_megabytes", 10.0, "Largest upload, MB.", lower_bound=0.1, upper_bound=256
    )


def main() -> None:
    # Otherwise the end of the process would leave a folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Heavy imports wait until the flags are known to be good.
    import ran_tf

    try:
        ran_tf.run_demo(
            on_message=terminal.say,
            detector=launch_flags.train_config(flags.FLAGS, DetectorConfig),
            **command.chosen(
                *("model", "baseline", "engine"),
                *("host", "port", "allowed_hosts", "max_megabytes"),
            ),
        )
    except KeyboardInterrupt:
        terminal.say("stopped")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
