"""robustness.md and its plot: a robustness report as a person reads it."""

import json
import os
import pathlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from ran_tf.evaluation import markdown
from ran_tf.evaluation.robustness import looks as looking
from ran_tf.evaluation.robustness import trials
from ran_tf.inference.figure_style import FIRST, SECOND, styled
from ran_tf.safety import files
from ran_tf.safety.escaping import for_markdown

JSON, MARKDOWN, PLOT, LOOKS = "robustness.json", "robustness.md", "covered.png", "looks.png"

_MEANS = {
    "seen": "seen in training",
    "occluder": "occluders in drawings of their own",
    "kept_out": "occluders of kinds never drawn in training",
    "degradation": "held-out degradations",
    "turn": "turned faces",
    "held_out": "all held out",
}


def write(report: dict, out: str | os.PathLike, *, looks: Sequence[looking.Look] = ()) -> None:
    """Writes robustness.json (last), robustness.md, covered.png and, of looks, looks.png.

    Args:
      report: from `trials.build_report`.
      out: directory, made if absent.
      looks: of the model.
    """
    out = pathlib.Path(out).expanduser()
    figures = {PLOT: curve_figure(report)} | ({LOOKS: looking.figure(looks)} if looks else {})
    for name, figure in figures.items():
        with files.atomic_path(out / name) as partial:
            figure.savefig(partial, format="png")
    if not looks:  # those of another model
        (out / LOOKS).unlink(missing_ok=True)
    files.write_text(out / MARKDOWN, render(report, looks=bool(looks)))
    files.write_text(out / JSON, json.dumps(report, indent=2, allow_nan=False) + "\n")


def render(report: dict, *, looks: bool = False) -> str:
    """Markdown of a report, perhaps with the figure of its looks."""
    model = report["model"]
    facts = [
        f"- Dataset: {markdown.code(report['dataset'])}, split {markdown.code(report['split'])}, "
        f"{report['faces']:,} faces",
        f"- Model: {markdown.name_model(model)}",
    ]
    if "baseline" in report:
        facts.append(f"- Baseline: {markdown.name_model(report['baseline'])}")
    facts.append(f"- Command: {markdown.code(report['command'])}")
    return markdown.document(
        f"# Robustness of {for_markdown(model['path'])}",
        "\n".join(facts),
        "## By kind",
        markdown.table(rows(report)),
        "All conditions have the same faces. Accuracy is in per cent, with Wilson intervals; loss "
        "is in points against clean faces. Difference: model minus baseline in points, with a "
        "paired bootstrap interval over faces. `covered`: a grey rectangle over that share of the "
        "face, at a random place for each face. `seen`: kinds that training may show (--erase, "
        "--degrade). Training never shows `occluder`, `kept_out`, `degradation` and `turn` in "
        "these drawings and by this code. With --cover and --spoil it shows other drawings and "
        "flaws of the kinds of `occluder` and `degradation`, but never of `kept_out`. Exposure: "
        "the covered share of the regions, averaged with the model's weights, divided by the same "
        "share with equal weights. At 1, the weights do not avoid what is covered. Below 1, they "
        "do.",
        *_means(report),
        "## Covered share",
        f"![accuracy against covered share]({PLOT})",
        *_looks(looks),
    )


def _looks(there: bool) -> list[str]:
    if not there:
        return []
    return [
        "## Where it looks",
        "Some faces, each as it is and covered. Orange places weigh more than with equal region "
        "weights, purple places less. If a network looks away, what is covered turns purple.",
        f"![where the model looks, before and after something covers the face]({LOOKS})",
    ]


def rows(report: dict) -> list[list[str]]:
    """The table by condition, its head first; also for a terminal."""
    compared = "baseline" in report
    exposed = _has_exposure(report, "conditions")
    head = ["condition", "group", "accuracy %", "95 % interval", "loss"]
    head += ["exposure"] * exposed
    head += ["baseline %", "baseline loss", "difference", "95 % interval"] if compared else []
    table = [head]
    for name, row in report["model"]["conditions"].items():
        cells = [
            name,
            row["group"],
            markdown.percent(row["accuracy"]),
            markdown.interval(row["accuracy_ci95"]),
            markdown.percent(row["loss"]),
        ]
        cells += [_exposure(row)] * exposed
        if compared:
            cells += _against_baseline(report, "conditions", name, measure="accuracy")
        table.append(cells)
    return table


def mean_rows(report: dict) -> list[list[str]]:
    """The table of means over kinds, its head first; also for a terminal."""
    compared = "baseline" in report
    exposed = _has_exposure(report, "means")
    head = ["mean over", "kinds", "accuracy %", "loss"]
    head += ["exposure"] * exposed
    head += ["baseline %", "baseline loss", "difference of losses", "95 % interval"] * compared
    table = [head]
    for group, row in report["model"]["means"].items():
        cells = [
            _MEANS[group],
            str(row["kinds"]),
            markdown.percent(row["accuracy"]),
            markdown.percent(row["loss"]),
        ]
        cells += [_exposure(row)] * exposed
        if compared:
            cells += _against_baseline(report, "means", group, measure="loss")
        table.append(cells)
    return table


def _has_exposure(report: dict, section: str) -> bool:
    return any(row["exposure"] is not None for row in report["model"][section].values())


def _exposure(row: dict) -> str:
    return "" if row["exposure"] is None else f"{row['exposure']:.2f}"


def _against_baseline(report: dict, section: str, name: str, *, measure: str) -> list[str]:
    """The cells of a row that compare: the baseline's numbers, and the difference in `measure`."""
    other = report["baseline"][section][name]
    gap = report["differences"][section][name]
    return [
        markdown.percent(other["accuracy"]),
        markdown.percent(other["loss"]),
        f"{100 * gap[measure]:+.2f}",
        markdown.interval(gap[f"{measure}_ci95"], signed=True),
    ]


@styled
def curve_figure(report: dict) -> Figure:
    """Accuracy against the covered share, with Wilson's intervals as bands."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    for role, colour in (("model", FIRST), ("baseline", SECOND)):
        if role not in report:
            continue
        points = {0: report[role]["conditions"][trials.CLEAN]} | {
            100 * share: report[role]["conditions"][name] for name, share in trials.COVERED.items()
        }
        shares = list(points)
        low, high = zip(*(row["accuracy_ci95"] for row in points.values()), strict=True)
        axis.fill_between(
            shares, [100 * v for v in low], [100 * v for v in high], color=colour, alpha=0.15, lw=0
        )
        axis.plot(
            shares,
            [100 * row["accuracy"] for row in points.values()],
            color=colour,
            marker="o",
            label=f"{role}: {markdown.describe_model(report[role]['card'])}",
        )
    axis.set_xlabel("face covered by a rectangle, %")
    axis.set_ylabel("accuracy, %")
    axis.set_title(f"{report['dataset']}, {report['split']}, {report['faces']:,} faces")
    axis.grid()
    # Below the axes: descriptions of models are long, and curves end low.
    figure.legend(loc="outside lower center")
    return figure


def _means(report: dict) -> list[str]:
    if not report["model"]["means"]:
        return []
    return [
        "## Means",
        markdown.table(mean_rows(report)),
        "A negative difference of losses: the model loses less than the baseline.",
    ]
