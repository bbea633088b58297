"""`ran_tf.robustness`: a model on faces that are covered, degraded and turned."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from ran_tf import checks
from ran_tf.data import damage, prepared
from ran_tf.data.pipeline import data_config_of
from ran_tf.evaluation import evaluate, results
from ran_tf.evaluation import split as splits
from ran_tf.evaluation.robustness import corruptions, robustness_report, trials
from ran_tf.evaluation.robustness import looks as looking

# Columns for which a terminal of usual width has no room; robustness.md has them.
_LEFT_OUT = ("group", "95 % interval")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RobustnessReport(results.Shown):
    """What `ran_tf.robustness` found. A notebook and a terminal show it as tables.

    Attributes:
      numbers: the dictionary of robustness.json, see `trials.build_report`.
      looks: where the model looks on some faces, as they are and covered; none of a whole face.
    """

    numbers: dict[str, Any]
    looks: Sequence[looking.Look] = ()

    def save(self, out: str | os.PathLike) -> None:
        """Writes robustness.json, robustness.md and plots to a folder, made if absent."""
        robustness_report.write(self.numbers, out, looks=self.looks)

    def __rich_console__(self, screen, options):
        rows = robustness_report.rows(self.numbers)
        shown = [i for i, name in enumerate(rows[0]) if name not in _LEFT_OUT]
        yield results.make_table([[row[i] for i in shown] for row in rows])
        yield results.make_table(robustness_report.mean_rows(self.numbers))


def robustness(
    model: Any,
    data: Any = "validation",
    *,
    baseline: Any = None,
    limit: int | None = None,
    kinds: Sequence[str] | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    batch_size: int = 64,
    on_faces: Callable[[str, int, float | None], None] = lambda name, count, total: None,
    command: str = "ran_tf.robustness",
) -> RobustnessReport:
    """Evaluates a model on faces that are covered, degraded and turned.

    The model sees all faces once for each condition. All models see the same changed faces.

    Args:
      model, data, baseline, dataset, data_dir, batch_size, on_faces: as in `ran_tf.evaluate`.
      limit: number of faces of a split; all when None.
      kinds: names of conditions in `corruptions.KINDS`; all when None.
      command: command that the report names.

    Returns:
      A `RobustnessReport`.

    Raises:
      FileNotFoundError: for a model or dataset that is not there.
      DamagedDatasetError: for a damaged file of the dataset.
      ValueError: for models whose labels are not those of the dataset, for unknown kinds, or for a
        `limit` if `data` is not the plain name of a split.

    Example:
      >>> report = ran_tf.robustness("ran_faceres_shared_ferplus", dataset="synthetic_faces",
      ...     limit=8, kinds=["hat"])
      >>> report.numbers["faces"], list(report.numbers["model"]["means"])
      (8, ['occluder', 'held_out'])
    """
    kinds = list(corruptions.KINDS) if kinds is None else list(kinds)
    for kind in kinds:
        checks.check_choice("kinds", kind, corruptions.KINDS)
    models = [evaluate.classifier_of(m, data) for m in (model, baseline) if m is not None]
    dataset = dataset or models[0].card.dataset
    if limit is not None:
        data = _limited(data, limit, data_dir=data_dir, card=models[0].card, name=dataset)
    asked: dict[str, Any] = {"dataset": dataset, "data_dir": data_dir}
    opened = [splits.open_faces(m, data, **asked, batch_size=batch_size) for m in models]
    tried = [_try(one, kinds=kinds, on_faces=on_faces) for one in opened]
    return RobustnessReport(
        trials.build_report(
            tried[0],
            baseline=tried[1] if baseline is not None else None,
            dataset=opened[0].full_name,
            split=opened[0].split,
            command=command,
        ),
        looks=tried[0].looks,
    )


def _try(opened: splits.Split, *, kinds: list[str], on_faces: Callable) -> trials.Trial:
    name = opened.classifier.name
    total = opened.faces and opened.faces * len(trials.conditions(kinds))
    guard = damage.explained(opened.builder) if opened.builder else contextlib.nullcontext()
    with guard:
        return trials.run(
            opened.classifier,
            opened.batches,
            kinds=kinds,
            on_faces=lambda count: on_faces(name, count, total),
        )


def _limited(data: Any, limit: int, *, card, name: str, data_dir: str | None) -> Any:
    """The first faces of a split: they lie in an order that was drawn when it was built."""
    config = data_config_of(card, name=name, data_dir=data_dir)
    if isinstance(data, str) and limit >= prepared.open_dataset(config).size(data):
        return data
    if not isinstance(data, str) or not data.isidentifier():
        raise ValueError(
            "`limit` needs the plain name of a split, such as 'test'. "
            f"Received: limit={limit}, split={data!r}"
        )
    return f"{data}[:{limit}]"
