"""python -m ran_tf.launch.evaluate --workdir=DIR|--model=EXPORT_DIR|PRESET --out=DIR

Evaluates a model on a split of its dataset, in one pass: report.json, report.md and figures by
subset of the faces. With --baseline, a second model on the same faces and the differences. Where
TF_CONFIG names several workers, the same command runs on each and they share the faces out.
"""

import contextlib
import os
import pathlib

from absl import flags
from rich import console

from ran_tf.launch import cluster, terminal
from ran_tf.launch import command as launch_command
from ran_tf.safety import files
from ran_tf.safety.escaping import for_terminal


def define_flags() -> None:
    """Defines this command's flags; not on import, since training imports `evaluate_workdir`."""
    flags.DEFINE_string("workdir", None, "Directory of a training run.")
    flags.DEFINE_string("model", None, "A preset, or directory of an export or a run.")
    flags.mark_flags_as_mutual_exclusive(["workdir", "model"], required=True)
    flags.DEFINE_string("baseline", None, "A preset, run or export to compare with.")
    flags.DEFINE_string("split", "test", "TFDS split: test or validation.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the model when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_bool("flip_average", False, "Average over each face and its mirror image.")
    flags.DEFINE_integer("batch_size", 64, "Faces at a time.", lower_bound=1)
    flags.DEFINE_string("out", None, "Directory of the report.", required=True)
    cluster.define_flags()


def main():
    values = flags.FLAGS
    strategy = cluster.start()
    from ran_tf.training import workers

    with workers.explain_loss(several=workers.count(strategy) > 1):
        _main(values, strategy)
        workers.wait_for_all(strategy)


def _main(values, strategy) -> None:
    evaluate(
        values.workdir or values.model,
        baseline=values.baseline,
        out=values.out,
        split=values.split,
        dataset=values.dataset,
        data_dir=values.data_dir,
        flip_average=values.flip_average,
        batch_size=values.batch_size,
        strategy=strategy,
        command=launch_command.invocation("evaluate"),
    )


def evaluate_workdir(
    workdir: str | os.PathLike,
    *,
    out: str | os.PathLike,
    dataset: str | None = None,
    data_dir: str | None = None,
    strategy=None,
) -> dict:
    """Evaluates the weights that a run keeps on the test split; see `evaluate`."""
    options = {"workdir": workdir, "dataset": dataset, "data_dir": data_dir, "out": out}
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return evaluate(
        workdir,
        out=out,
        dataset=dataset,
        data_dir=data_dir,
        strategy=strategy,
        command=launch_command.invocation("evaluate", given),
    )


def evaluate(
    model: str | os.PathLike,
    *,
    baseline: str | os.PathLike | None = None,
    out: str | os.PathLike,
    split: str = "test",
    dataset: str | None = None,
    data_dir: str | None = None,
    flip_average: bool = False,
    batch_size: int = 64,
    strategy=None,
    command: str,
) -> dict:
    """Evaluates a model, writes the report to `out` and prints its main table.

    Args:
      model: a preset, an export or the directory of a training run, see `ran_tf.weights.sources`.
      baseline: the same for a model to compare with.
      out: directory of the report.
      split: TFDS split expression.
      dataset: TFDS name; that of the model's card when None.
      data_dir: TFDS directory; TFDS' default when None.
      flip_average: average probabilities over each face and its mirror image.
      batch_size: faces at a time, over all workers.
      strategy: tf.distribute strategy of several workers, which all call this and share the faces
        out; the chief writes and prints.
      command: what the report says was run.

    Returns:
      The report, as in report.json, on every worker.

    Raises:
      FileNotFoundError: for a model or dataset that is not there.
      ValueError: for models whose labels are not those of the dataset, or `out` that cannot be
        written.
    """
    # Heavy imports wait until the flags are known to be good.
    import ran_tf
    from ran_tf.evaluation import report as reports
    from ran_tf.training import workers

    chief = strategy is None or workers.is_chief(strategy)
    out = pathlib.Path(out).expanduser()
    if chief:
        files.check_folder("out", out)
    screen = terminal.open_console(quiet=not chief)
    with _progress(screen) as on_faces:
        report = ran_tf.evaluate(
            model,
            split,
            baseline=baseline,
            flip_average=flip_average,
            dataset=dataset,
            data_dir=data_dir,
            batch_size=batch_size,
            strategy=strategy,
            on_faces=on_faces,
            command=command,
        )
    if chief:
        report.save(out)
        screen.print(report)
        terminal.say(f"report: {out / reports.MARKDOWN}")
    return report.numbers


@contextlib.contextmanager
def _progress(screen: console.Console):
    """Yields what draws a bar for each model."""
    bar = terminal.faces_bar(screen)
    tasks = {}

    def on_faces(name: str, count: int, total: float | None) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(for_terminal(f"evaluating {name}"), total=total)
        bar.advance(tasks[name], count)

    with bar:
        yield on_faces


if __name__ == "__main__":
    launch_command.run(main, define_flags=define_flags)
