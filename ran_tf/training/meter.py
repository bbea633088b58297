"""The sums of a running epoch: added up, checked, and kept where a checkpoint finds them."""

import dataclasses
import time

import numpy as np

from ran_tf.config import ObjectiveConfig
from ran_tf.models import objective
from ran_tf.training.checkpoints import Progress


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the last good checkpoint is intact."""


def epoch_line(row: dict) -> str:
    """A row of metrics.csv for people."""
    validated = ""
    if "validation_accuracy" in row:
        validated = (
            f"validation acc {row['validation_accuracy']:.2%} "
            f"ce {row['validation_cross_entropy']:.4f}, "
        )
    return (
        f"epoch {row['epoch']} done: loss {row['loss']:.4f} ({terms_line(row)}) "
        f"acc {row['accuracy']:.2%}, {validated}{row['faces_per_second']:.0f} faces/s"
    )


def terms_line(means: dict) -> str:
    """The losses that runs have, for people."""
    text = f"ce {means['cross_entropy']:.4f}, rb {means['region_loss']:.4f}"
    return text + (f", visibility {means['visibility']:.4f}" if "visibility" in means else "")


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What a progress display shows after a step.

    Attributes:
      epoch, epochs, step, steps: 1-based positions and totals (step within its epoch).
      means: over the epoch so far, see `Meter.means`.
      faces_per_second: of all workers, since this process took the epoch up.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    means: dict[str, float]
    faces_per_second: float


class Meter:
    """Adds up an epoch's sums, checks them and moves the run's progress on.

    Args:
      progress: of the run; its sums are taken up where a killed run left them.
      epoch: 0-based.
      epochs, steps: epochs of the run, steps of an epoch.
      config: what is trained for.
    """

    def __init__(
        self, progress: Progress, *, epoch: int, epochs: int, steps: int, config: ObjectiveConfig
    ):
        self._progress = progress
        self._epoch, self._epochs, self._steps = epoch, epochs, steps
        self._config, self._names = config, objective.sum_names(config)
        self._sums = progress.sums
        self._faces_before = self._sums[0]
        self._start = time.monotonic()

    def add(self, number: int, sums: dict) -> StepReport:
        """Takes in the sums of step `number`.

        Raises:
          NonFiniteLossError: if they are not finite; the progress stays where it was.
        """
        new = np.asarray([float(sums[name]) for name in self._names])
        if not np.isfinite(new).all():
            raise NonFiniteLossError(
                f"the loss is not finite at step {number} (epoch {self._epoch + 1}): "
                f"{dict(zip(self._names, new.tolist(), strict=True))}. The last checkpoint is "
                "from before that. Lower --learning_rate or set --clip_norm in another --workdir."
            )
        self._sums = self._sums + new
        self._progress.sums = self._sums
        self._progress.step = number + 1
        return StepReport(
            epoch=self._epoch + 1,
            epochs=self._epochs,
            step=number + 1 - self._epoch * self._steps,
            steps=self._steps,
            means=self.means(),
            faces_per_second=self.faces_per_second(),
        )

    def means(self) -> dict[str, float]:
        """Means over the epoch so far: loss, its terms by name, accuracy."""
        means = dict(zip(self._names, self._sums / max(1.0, self._sums[0]), strict=True))
        accuracy, _ = means.pop("correct"), means.pop("faces")
        loss = objective.total(means, config=self._config)
        return {"loss": loss, **means, "accuracy": accuracy}

    def faces_per_second(self) -> float:
        return (self._sums[0] - self._faces_before) / max(1e-9, time.monotonic() - self._start)
