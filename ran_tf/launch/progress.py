"""The progress display of training."""

import contextlib

from rich import console, progress

from ran_tf.training import loop


@contextlib.contextmanager
def training_display():
    """Yields `loop.Hooks` that show a bar per epoch and a line per finished one.

    Where the output is no terminal (a log file), only the lines of finished epochs are printed.
    """
    out = console.Console(highlight=False)
    bar = progress.Progress(
        progress.TextColumn("epoch {task.fields[epoch]}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[numbers]}"),
        progress.TimeRemainingColumn(),
        console=out,
    )
    task = bar.add_task("", total=None, epoch="", numbers="")

    def on_step(report: loop.StepReport) -> None:
        if report.step == 1:
            bar.reset(task)
        bar.update(
            task,
            completed=report.step,
            total=report.steps,
            epoch=f"{report.epoch}/{report.epochs}",
            numbers=(
                f"loss {report.loss:.3f} (ce {report.cross_entropy:.3f}, "
                f"rb {report.region_loss:.4f}) acc {report.accuracy:.1%} "
                f"{report.faces_per_second:.0f} faces/s"
            ),
        )

    def on_epoch(row: dict) -> None:
        out.print(
            f"epoch {row['epoch']:3d}  loss {row['loss']:.4f} "
            f"(ce {row['cross_entropy']:.4f}, rb {row['region_loss']:.4f})  "
            f"acc {row['accuracy']:.2%}  val acc {row['validation_accuracy']:.2%}  "
            f"val ce {row['validation_cross_entropy']:.4f}  "
            f"{row['faces_per_second']:.0f} faces/s"
        )

    hooks = loop.Hooks(on_step=on_step, on_epoch=on_epoch, on_message=out.print)
    with bar if out.is_terminal else contextlib.nullcontext():
        yield hooks
