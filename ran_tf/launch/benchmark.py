"""python -m ran_tf.launch.benchmark --suite=step|input|crop|serve --out=FILE.json [flags]

Measures speed and memory of one part on this machine, prints a table and writes JSON. For figures
worth keeping, leave the machine alone meanwhile.

    step    the training step; lists in --num_regions, --batch_size and --dtype give a row each
    input   faces a second and core, cached and not, beside a Pillow loader; waiting of a step
    crop    cutting regions out, kernel and gathers, as a share of the step
    serve   the exported SavedModel, beside ONNX Runtime and OpenVINO where installed
"""

import dataclasses
import json
import pathlib

from absl import flags

from ran_tf import checks, vocabulary
from ran_tf.benchmark import plans
from ran_tf.launch import command, terminal
from ran_tf.safety import files

# A training run that is served has its own.
_OF_A_WORKDIR = ("backbone", "region_size", "image_size", "num_regions")


def define_flags() -> None:
    """Flags of all suites; one that is not given takes the suite's own default."""
    flags.DEFINE_enum("suite", None, list(plans.SUITES), "What is measured.", required=True)
    flags.DEFINE_string("out", None, "JSON file that is written.", required=True)
    flags.DEFINE_string("backbone", None, "Name of the backbone.")
    flags.DEFINE_integer("region_size", None, "Side of a region, pixels.", lower_bound=8)
    flags.DEFINE_integer("image_size", None, "Side of the whole face, pixels.", lower_bound=2)
    flags.DEFINE_list("num_regions", None, "Regions; a list with --suite=step.")
    flags.DEFINE_list("batch_size", None, "Faces; a list with --suite=step and --suite=serve.")
    flags.DEFINE_list("dtype", None, "float32, mixed_bfloat16; a list with step and serve.")
    flags.DEFINE_integer("replicas", None, "Logical devices of --suite=step.", lower_bound=1)
    flags.DEFINE_bool("sync_batch_norm", None, "Of --suite=step: statistics of all devices.")
    flags.DEFINE_integer("warmup", None, "Calls that are not counted.", lower_bound=0)
    flags.DEFINE_integer("repeats", None, "Calls that are counted.", lower_bound=1)
    flags.DEFINE_integer("step_batch", None, "Faces of the step that crops are compared with.")
    flags.DEFINE_integer("wait_steps", None, "Steps of --suite=input that wait for batches.")
    flags.DEFINE_string("dataset", None, "TFDS name, for --suite=input.")
    flags.DEFINE_string("data_dir", None, "TFDS directory, for --suite=input.")
    flags.DEFINE_string("split", None, "Split of --suite=input.")
    flags.DEFINE_string("workdir", None, "Training run that --suite=serve serves.")
    flags.DEFINE_integer("inter_op_threads", 0, "Operators at a time; 0: TensorFlow's choice.")


def read_plan(values: flags.FlagValues):
    """The plan of a suite; ValueError for a flag that it would ignore, or a value that is none."""
    fields = {name: {f.name for f in dataclasses.fields(c)} for name, c in plans.SUITES.items()}
    given = [n for n in set().union(*fields.values()) if n in values and values[n].present]
    for name in given:
        if name not in fields[values.suite]:
            suites = ", ".join(f"--suite={suite}" for suite in fields if name in fields[suite])
            raise ValueError(
                f"--{name} must be left out with --suite={values.suite}, which has no use for it; "
                f"it belongs to {suites}. Received: --{name}={values[name].value}"
            )
        if values.workdir and name in _OF_A_WORKDIR:
            raise ValueError(
                f"--{name} must be left out with --workdir, which has its own. "
                f"Received: --{name}={values[name].value}"
            )
    plan = plans.SUITES[values.suite]()
    chosen = {name: _value(name, values[name].value, like=getattr(plan, name)) for name in given}
    return dataclasses.replace(plan, **chosen)


def _value(name: str, value, *, like):
    """A flag's value as its field has it: those with commas between, or one of them."""
    if not isinstance(value, list):
        return value
    found = tuple(value)
    if name == "dtype":
        for dtype in found:
            checks.check_choice("--dtype", dtype, vocabulary.DTYPES)
    else:
        found = tuple(int(text) if text.isdecimal() else 0 for text in value)
        if 0 in found:
            raise ValueError(
                f"--{name} must be whole numbers above 0 with commas between. "
                f"Received: --{name}={','.join(value)}"
            )
    if isinstance(like, tuple):
        return found
    if len(found) != 1:
        raise ValueError(f"--{name} takes one value with this suite. Received: {found}")
    return found[0]


def main() -> None:
    values = flags.FLAGS
    plan = read_plan(values)
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
