"""python -m ran_tf.launch.benchmark --suite=step|input|crop|serve --out=FILE.json [flags]

Measures speed and memory of one part on this machine, prints a table and writes JSON. For figures
worth keeping, leave the machine alone meanwhile.

    step    the training step; lists in --num_regions, --batch_size and --dtype give a row each
    input   faces a second and core, cached and not, beside a Pillow loader; waiting of a step
    crop    cutting regions out, kernel and gathers, as a share of the step
    serve   the exported SavedModel, beside ONNX Runtime and OpenVINO where installed
"""

import dataclasses
import pathlib

from absl import flags

from ran_tf import checks, vocabulary
from ran_tf.launch import command, terminal
from ran_tf.safety import files

_OF_ALL = ("backbone", "region_size", "image_size", "num_regions", "batch_size", "dtype", "repeats")
# Which flags each suite takes.
_SUITES = {
    "step": (*_OF_ALL, "replicas", "sync_batch_norm", "warmup"),
    "input": (*_OF_ALL, "wait_steps", "dataset", "data_dir", "split"),
    "crop": (*_OF_ALL, "step_batch", "warmup"),
    "serve": (*_OF_ALL, "workdir"),
}
# A training run that is served has its own.
_OF_A_WORKDIR = ("backbone", "region_size", "image_size", "num_regions")


def define_flags() -> None:
    """Flags of all suites; one that is not given takes the suite's own default."""
    flags.DEFINE_enum("suite", None, list(_SUITES), "What is measured.", required=True)
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
    flags.DEFINE_string("dataset", "synthetic_faces", "TFDS name, for --suite=input.")
    flags.DEFINE_string("data_dir", None, "TFDS directory, for --suite=input.")
    flags.DEFINE_string("split", "train", "Split of --suite=input.")
    flags.DEFINE_string("workdir", None, "Training run that --suite=serve serves.")
    flags.DEFINE_integer("inter_op_threads", 0, "Operators at a time; 0: TensorFlow's choice.")


def check(values) -> None:
    """Raises ValueError for a flag that the suite would ignore, or a value that is none."""
    for other, names in _SUITES.items():
        for name in names:
            if name not in _SUITES[values.suite] and values[name].present:
                raise ValueError(
                    f"--{name} must be left out with --suite={values.suite}, which has no use for "
                    f"it; it belongs to --suite={other}. Received: --{name}={values[name].value}"
                )
    for name in _OF_A_WORKDIR:
        if values.workdir and values[name].present:
            raise ValueError(
                f"--{name} must be left out with --workdir, which has its own. "
                f"Received: --{name}={values[name].value}"
            )
    for name in ("num_regions", "batch_size"):
        _numbers(name, values[name].value)
    for dtype in values.dtype or ():
        checks.check_choice("--dtype", dtype, vocabulary.DTYPES)


def main() -> None:
    check(flags.FLAGS)
    out = pathlib.Path(flags.FLAGS.out).expanduser()
    if out.is_dir():
        raise ValueError(f"--out must be a file. Received: --out={out}")
    files.check_folder("out", out.parent)
    import tensorflow as tf

    from ran_tf.benchmark import results, table

    values = flags.FLAGS
    if values.inter_op_threads:
        tf.config.threading.set_inter_op_parallelism_threads(values.inter_op_threads)
    if (values.replicas or 1) > 1 and not tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * values.replicas,
        )
    plan, measure = _plan(values)
    result = results.collect(values.suite, measure, arguments={"plan": dataclasses.asdict(plan)})
    table.print_result(result)
    results.write(out, result)
    terminal.say(f"written: {out}")


def _plan(values):
    """The suite's plan, and its measurement as a function of the machine's peak."""
    if values.suite == "step":
        from ran_tf.benchmark import step

        plan = step.StepPlan(
            **_given(
                backbone=values.backbone,
                size=values.region_size,
                image_size=values.image_size,
                regions=_numbers("num_regions", values.num_regions),
                batches=_numbers("batch_size", values.batch_size),
                dtypes=_names(values.dtype),
                replicas=values.replicas,
                sync_batch_norm=values.sync_batch_norm,
                warmup=values.warmup,
                repeats=values.repeats,
            )
        )
        return plan, lambda peak: step.measure(plan, peak=peak)
    if values.suite == "crop":
        from ran_tf.benchmark import crop

        plan = crop.CropPlan(
            **_given(
                batch=_one("batch_size", _numbers("batch_size", values.batch_size)),
                k=_one("num_regions", _numbers("num_regions", values.num_regions)),
                image_size=values.image_size,
                size=values.region_size,
                backbone=values.backbone,
                dtype=_one("dtype", _names(values.dtype)),
                step_batch=values.step_batch,
                warmup=values.warmup,
                repeats=values.repeats,
            )
        )
        return plan, lambda peak: crop.measure(plan)
    if values.suite == "serve":
        from ran_tf.benchmark import serve

        plan = serve.ServePlan(
            **_given(
                workdir=values.workdir,
                backbone=values.backbone,
                size=values.region_size,
                image_size=values.image_size,
                k=_one("num_regions", _numbers("num_regions", values.num_regions)),
                batches=_numbers("batch_size", values.batch_size),
                dtypes=_names(values.dtype),
                repeats=values.repeats,
            )
        )
        return plan, lambda peak: serve.measure(plan, peak=peak)
    from ran_tf.benchmark import input as input_suite

    plan = input_suite.InputPlan(
        data=_data(values),
        **_given(
            batch=_one("batch_size", _numbers("batch_size", values.batch_size)),
            passes=values.repeats,
            size=values.region_size,
            backbone=values.backbone,
            dtype=_one("dtype", _names(values.dtype)),
            wait_steps=values.wait_steps,
        ),
    )
    return plan, lambda peak: input_suite.measure(plan)


def _data(values):
    from ran_tf.config import DataConfig, RegionConfig

    side = values.image_size or DataConfig().image_size[0]
    k = _one("num_regions", _numbers("num_regions", values.num_regions)) or RegionConfig().k
    return DataConfig(
        name=values.dataset,
        data_dir=values.data_dir,
        image_size=(side, side),
        train_split=values.split,
        regions=RegionConfig(kind="random", k=k),
    )


def _given(**arguments) -> dict:
    """Those that were given."""
    return {name: value for name, value in arguments.items() if value is not None}


def _numbers(flag: str, texts: list[str] | None) -> tuple[int, ...] | None:
    if not texts:
        return None
    try:
        found = tuple(int(text) for text in texts)
    except ValueError:
        found = (0,)
    if any(number < 1 for number in found):
        raise ValueError(
            f"--{flag} must be whole numbers above 0 with commas between. "
            f"Received: --{flag}={','.join(texts)}"
        )
    return found


def _names(texts: list[str] | None) -> tuple[str, ...] | None:
    return tuple(texts) if texts else None


def _one(flag: str, values: tuple | None):
    if values and len(values) > 1:
        raise ValueError(f"--{flag} takes one value with this suite. Received: {values}")
    return values[0] if values else None


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
