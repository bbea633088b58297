"""python -m ran_tf.launch.benchmark --suite=step|input|crop --out=FILE.json [flags]

Measures speed and memory of one part on this machine, prints a table and writes JSON. Run nothing
else on the machine at the same time.

    step    the training step; a row for each value of --num_regions, --batch_size and --dtype
    input   faces per second and per core, with and without cache; time that a step waits for faces
    crop    cutting out the regions, by kernel and by gathers, and its share of the step
"""

import json
import pathlib

from absl import flags

from ran_tf.benchmark import plans
from ran_tf.launch import command, terminal
from ran_tf.launch import flags as launch_flags
from ran_tf.safety import files


def define_flags() -> None:
    """Flags of all suites; one that is not given takes the suite's own default."""
    flags.DEFINE_enum("suite", None, list(plans.SUITES), "Part to measure.", required=True)
    flags.DEFINE_string("out", None, "JSON file to write.", required=True)
    flags.DEFINE_integer(
        "inter_op_threads",
        0,
        "Number of operators that run at the same time; 0: TensorFlow's choice.",
    )
    for setting in plans.all_settings().values():
        launch_flags.define(setting)


def main() -> None:
    values = flags.FLAGS
    given = {n: values[n].value for n in plans.all_settings() if values[n].present}
    plan = plans.make_plan(values.suite, given)
    out = pathlib.Path(values.out).expanduser()
    if out.is_dir():
        raise ValueError(f"--out must be a file. Received: --out={out}")
    files.check_folder("out", out.parent)
    # Heavy imports wait until the flags are known to be good.
    import tensorflow as tf

    from ran_tf.benchmark import results

    if values.inter_op_threads:
        tf.config.threading.set_inter_op_parallelism_threads(values.inter_op_threads)
    if (values.replicas or 1) > 1 and not tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * values.replicas,
        )
    result = results.measure(values.suite, plan)
    results.print_table(result)
    files.write_text(out, json.dumps(result, indent=2) + "\n")
    terminal.say(f"written: {out}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
