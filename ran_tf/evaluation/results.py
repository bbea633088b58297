"""What an evaluation found, for people at a notebook: the numbers of report.json with names."""

import dataclasses
import functools
import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import figure
from rich import box, console, jupyter, table, text

from ran_tf.checks import check_choice
from ran_tf.evaluation import markdown, plots, report
from ran_tf.evaluation.report import Evaluated
from ran_tf.safety.escaping import for_terminal

# Columns of the table against a baseline for which a terminal has room; report.md has the rest.
_COLUMNS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """What a model got right of some faces; fractions 0..1, None where there is no face.

    Attributes:
      count: faces.
      accuracy, accuracy_ci95: with its Wilson interval [low, high].
      mean_class_accuracy: mean recall of the classes present.
      class_recall: [n], None for classes without a face.
      ece: calibration error of the top probability, 15 bins.
      nll: mean negative log-likelihood, nats.
      confusion: i64[n, n], rows are the truth.
    """

    count: int
    accuracy: float | None
    accuracy_ci95: list[float] | None
    mean_class_accuracy: float | None
    class_recall: list[float | None]
    ece: float | None
    nll: float | None
    confusion: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """Model minus baseline on the same faces.

    Attributes:
      count: faces.
      accuracy, accuracy_ci95: difference, with its paired bootstrap interval [low, high]; None
        where there is no face.
      only_model_right, only_baseline_right: faces.
    """

    count: int
    accuracy: float | None
    accuracy_ci95: list[float] | None
    only_model_right: int
    only_baseline_right: int


class Shown(jupyter.JupyterMixin):
    """What notebooks, terminals and `print` show as tables: those of its `__rich_console__`."""

    def __repr__(self):
        shown = io.StringIO()
        console.Console(file=shown, width=100, color_system=None).print(self)
        return shown.getvalue().rstrip()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report(Shown):
    """What `ran_tf.evaluate` found. A notebook and a terminal show it as a table.

    Attributes:
      numbers: the dictionary of report.json, see `ran_tf.evaluation.report.build_report`.
      model: the model and its answers for every face.
      baseline: the same for the baseline, or None without one.
      find_faces: returns the faces u8[h, w, 3] with given ids, for figures.

    Example:
      >>> data = ran_tf.load_dataset("synthetic_faces", image_size=48, test_split="test[:32]")
      >>> report = ran_tf.evaluate("ran_faceres_shared_ferplus", data.test)
      >>> report.subsets["all"].count, report.subsets["all"].confusion.shape
      (32, (8, 8))
      >>> sorted(report.subsets)
      ['all', 'occlusion', 'pose_30', 'pose_45']
    """

    numbers: dict[str, Any]
    model: Evaluated
    baseline: Evaluated | None = None
    find_faces: Callable[[Sequence[str]], dict[str, np.ndarray]] = lambda ids: {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in index order."""
        return tuple(self.numbers["labels"])

    @functools.cached_property
    def subsets(self) -> dict[str, Subset]:
        """The results by subset: all, occlusion, pose_30, pose_45."""
        return {
            name: Subset(**{**row, "confusion": np.asarray(row["confusion"])})
            for name, row in self.numbers["subsets"].items()
        }

    @functools.cached_property
    def differences(self) -> dict[str, Difference] | None:
        """Model minus baseline, by subset; None without a baseline."""
        rows = self.numbers.get("differences")
        return rows and {name: Difference(**row) for name, row in rows.items()}

    def compare(self, other: "Report") -> "Report":
        """Returns this report with another report as its baseline: paired differences.

        Raises:
          ValueError: if the reports have different faces, labels or `flip_average`.
        """
        numbers = self.numbers
        check_choice(
            "other.flip_average", other.numbers["flip_average"], (numbers["flip_average"],)
        )
        return dataclasses.replace(
            self,
            numbers=report.build_report(
                self.model,
                baseline=other.model,
                **{n: numbers[n] for n in ("dataset", "split", "flip_average", "command")},
            ),
            baseline=other.model,
        )

    def plot(self, name: str = "confusion", *, subset: str = "all") -> figure.Figure:
        """Draws a figure of the report.

        Args:
          name: "confusion", "region_weights" (by occlusion and pose), "attention" (self-attention
            of whole face and best crop), or "disagreements" with a baseline.
          subset: subset of the confusion matrix.

        Returns:
          A `matplotlib.figure.Figure`.

        Raises:
          ValueError: for a figure that this report does not have, such as the region weights of a
            whole-face model.
        """
        file = f"confusion_{subset}.png" if name == "confusion" else f"{name}.png"
        makers = plots.makers(self.numbers, find_faces=self.find_faces)
        if file not in makers:
            known = ", ".join(name.removesuffix(".png") for name in makers)
            raise ValueError(
                f"`name` must be a figure of this report ({known}; confusion takes a `subset`). "
                f"Received: name={name!r}, subset={subset!r}"
            )
        return makers[file]()

    def save(self, out: str | os.PathLike) -> None:
        """Writes report.json, report.md and the figures. Each file appears complete.

        Args:
          out: folder, made if absent. Figures of an earlier report that this one does not have are
            removed.
        """
        report.write_report(self.numbers, out, find_faces=self.find_faces)

    def _grids(self) -> dict[str, list[list[str]]]:
        numbers = self.numbers
        title = f"{numbers['dataset']}, {numbers['split']}"
        title += ", flip-averaged" if numbers["flip_average"] else ""
        grids = {title: markdown.subset_rows(numbers["subsets"])}
        if "baseline" in numbers:
            rows = markdown.difference_rows(numbers)
            grids["against the baseline"] = [row[:_COLUMNS] for row in rows]
        return grids

    def __rich_console__(self, screen, options):
        for title, rows in self._grids().items():
            yield make_table(rows, title=title)


def make_table(rows: Sequence[Sequence[str]], *, title: str | None = None) -> table.Table:
    """A table of plain text, the head first; its first column is names, the rest are numbers."""
    head, *body = rows
    name = None if title is None else _cell(title)
    grid = table.Table(title=name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(head):
        grid.add_column(_cell(column), justify="left" if i == 0 else "right", no_wrap=True)
    for row in body:
        grid.add_row(*map(_cell, row))
    return grid


def _cell(words: str) -> text.Text:
    # Rich takes a string's brackets for markup.
    return text.Text(for_terminal(words))
