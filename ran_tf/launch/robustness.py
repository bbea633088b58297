"""python -m ran_tf.launch.robustness --model=PRESET|EXPORT_DIR|WORKDIR [--baseline=...] --out=DIR

Accuracy under occluders and degradations, some of which training never shows: robustness.json,
robustness.md and a plot. One pass over the split for each condition, so --limit saves time.
"""

import functools
import os
import pathlib
from collections.abc import Sequence

from absl import flags
from rich import console

from ran_tf import checks
from ran_tf.evaluation import tables
from ran_tf.launch import command as launch_command
from ran_tf.launch import terminal
from ran_tf.safety import files
from ran_tf.safety.escaping import for_terminal


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("model", None, "A preset, export or run.", required=True)
    flags.DEFINE_string("baseline", None, "A preset, export or run to compare with.")
    flags.DEFINE_string("split", "validation", "TFDS split: validation or test.")
    flags.DEFINE_integer("limit", None, "Only so many faces of the split.", lower_bound=1)
    flags.DEFINE_list("kinds", None, "Only these kinds, by name; all when absent.")
    flags.DEFINE_string("dataset", None, "TFDS name; the dataset of the model when absent.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_integer("batch_size", 64, "Faces at a time.", lower_bound=1)
    flags.DEFINE_string("out", None, "Directory of the report.", required=True)


def robustness(
    model: str | os.PathLike,
    *,
    baseline: str | os.PathLike | None = None,
    out: str | os.PathLike,
    split: str = "validation",
    limit: int | None = None,
    kinds: Sequence[str] | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    batch_size: int = 64,
    command: str,
) -> dict:
    """Tries a model, writes the report to `out` and prints its tables; see the flags.

    Returns:
      The report, as in robustness.json.

    Raises:
      FileNotFoundError: for a model or dataset that is not there.
      DamagedDatasetError: for a dataset that is not whole.
      ValueError: for models whose labels are not those of the dataset, unknown kinds, or `out` that
        cannot be written.
    """
    from ran_tf.data import damage, pipeline, prepared
    from ran_tf.evaluation import classifier
    from ran_tf.evaluation import split as splits
    from ran_tf.evaluation.robustness import corruptions, robustness_report, trials

    files.check_folder("out", out)
    kinds = list(corruptions.KINDS) if kinds is None else list(kinds)
    for kind in kinds:
        checks.check_choice("kinds", kind, corruptions.KINDS)
    classifiers = [classifier.load(p) for p in (model, baseline) if p is not None]
    name = dataset or classifiers[0].card.dataset
    data = pipeline.data_config_of(classifiers[0].card, name=name, data_dir=data_dir)
    if limit is not None and limit < prepared.open_dataset(data).size(split):
        if not split.isidentifier():
            raise ValueError(
                "`limit` goes with the plain name of a split, such as 'test'. "
                f"Received: limit={limit}, split={split!r}"
            )
        # Examples lie in an order that was drawn when the dataset was built: any part is a sample.
        split = f"{split}[:{limit}]"
    screen = terminal.open_console()
    tried = []
    for one in classifiers:
        opened = splits.open_split(
            one, dataset=name, data_dir=data_dir, split=split, batch_size=batch_size
        )
        bar = terminal.faces_bar(screen)
        total = (opened.faces or 0) * len(trials.conditions(kinds))
        task = bar.add_task(for_terminal(one.name), total=total)
        with bar, damage.explained(opened.builder):
            tried.append(
                trials.run(
                    one,
                    opened.batches,
                    kinds=kinds,
                    on_faces=functools.partial(bar.advance, task),
                )
            )
    report = trials.build_report(
        tried[0],
        baseline=tried[1] if baseline is not None else None,
        dataset=opened.full_name,
        split=split,
        command=command,
    )
    robustness_report.write(report, out := pathlib.Path(out).expanduser())
    _print(report, screen=screen)
    terminal.say(f"report: {out / robustness_report.MARKDOWN}")
    return report


def _print(report: dict, *, screen: console.Console) -> None:
    from ran_tf.evaluation.robustness import robustness_report

    # As many columns as a terminal of usual width has room for; robustness.md has the intervals.
    rows = [
        [row[i] for i in (0, 2, 4, 5, 6, 7) if i < len(row)]
        for row in robustness_report.rows(report)
    ]
    for grid in (rows, robustness_report.mean_rows(report)):
        screen.print(tables.make_table(grid))


def main() -> None:
    values = flags.FLAGS
    robustness(
        values.model,
        baseline=values.baseline,
        out=values.out,
        split=values.split,
        limit=values.limit,
        kinds=values.kinds,
        dataset=values.dataset,
        data_dir=values.data_dir,
        batch_size=values.batch_size,
        command=launch_command.invocation("robustness"),
    )


if __name__ == "__main__":
    launch_command.run(main, define_flags=define_flags)
