"""What training shows: its progress, and what it leaves."""

import contextlib
import importlib.util
import shlex
import time

from rich import progress

from ran_tf.launch import terminal
from ran_tf.safety import escaping
from ran_tf.training import loop, meter

# Between two lines about a running epoch where the output is a file.
_LOG_SECONDS = 60.0
_GET_TENSORBOARD = ' (pip install "ran_tf[tensorboard]")'


@contextlib.contextmanager
def training_display(*, shown: bool = True):
    """Yields `loop.Hooks` that show a bar per epoch and a line per finished one, or nothing.

    Where the output is no terminal (a log file), a line a minute takes the place of the bar.
    """
    if not shown:
        yield loop.Hooks()
        return
    out = terminal.open_console()
    bar = progress.Progress(
        progress.TextColumn("epoch {task.fields[epoch]}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[numbers]}"),
        progress.TimeRemainingColumn(),
        console=out,
    )
    task = bar.add_task("", total=None, epoch="", numbers="")

    logged = time.monotonic()

    def on_step(report: meter.StepReport) -> None:
        nonlocal logged
        epoch = f"{report.epoch}/{report.epochs}"
        numbers = (
            f"loss {report.means['loss']:.3f} ({meter.terms_line(report.means)}) "
            f"acc {report.means['accuracy']:.1%} {report.faces_per_second:.0f} faces/s"
        )
        if report.step == 1:
            bar.reset(task)
        bar.update(task, completed=report.step, total=report.steps, epoch=epoch, numbers=numbers)
        if not out.is_terminal and time.monotonic() - logged > _LOG_SECONDS:
            logged = time.monotonic()
            say(f"epoch {epoch}  step {report.step}/{report.steps}  {numbers}")

    def on_epoch(row: dict) -> None:
        say(meter.epoch_line(row))

    def say(text: str) -> None:
        out.print(escaping.for_terminal(text), soft_wrap=True)

    hooks = loop.Hooks(on_step=on_step, on_epoch=on_epoch, on_message=say)
    with bar if out.is_terminal else contextlib.nullcontext():
        yield hooks


def say_kept(run: loop.TrainedRun, *, keep: str) -> None:
    """What a finished run leaves, and how its curves are shown."""
    accuracy = run.metrics.get("validation_accuracy")
    validated = "not validated" if accuracy is None else f"validation accuracy {accuracy:.2%}"
    terminal.say(f"{keep} epoch {run.metrics['epoch']}: {validated}")
    terminal.say(f"weights: {run.weights}")
    if (scalars := run.workdir / "tensorboard").exists():
        get = "" if importlib.util.find_spec("tensorboard") else _GET_TENSORBOARD
        terminal.say(f"curves: tensorboard --logdir={shlex.quote(str(scalars))}{get}")
