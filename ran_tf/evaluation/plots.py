"""Figures of a report, drawn without a display."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import colors, ticker
from matplotlib.figure import Figure

from ran_tf import vocabulary
from ran_tf.inference.figure_style import BLUE, FIRST, GREY, INK, SECOND, VERMILION, styled

REGION_WEIGHTS, ATTENTION, DISAGREEMENTS = (
    "region_weights.png",
    "attention.png",
    "disagreements.png",
)
# Every file that a report may leave.
NAMES = (
    *(f"confusion_{name}.png" for name in vocabulary.SUBSETS),
    REGION_WEIGHTS,
    ATTENTION,
    DISAGREEMENTS,
)

_TITLES = {
    "all": "All faces",
    "occlusion": "Occluded faces",
    "pose_30": "Faces turned by more than 30°",
    "pose_45": "Faces turned by more than 45°",
}

# White letters from this share of the colour scale on.
_DARK = 0.55

# Of the sheet of faces.
_COLUMNS = 6
# A sign beside the colour.
_RIGHT, _WRONG = ("\N{CHECK MARK}", BLUE), ("\N{BALLOT X}", VERMILION)


def makers(
    report: dict, *, find_faces: Callable[[Sequence[str]], dict[str, np.ndarray]] | None = None
) -> dict[str, Callable[[], Figure]]:
    """What draws each figure of a report, by file name; none for subsets without a face.

    Args:
      report: from `report.build_report`.
      find_faces: gives faces u8[h, w, 3] by id, for those of `report["disagreements"]`.
    """
    made: dict[str, Callable[[], Figure]] = {}
    for name, subset in report["subsets"].items():
        if subset["count"] == 0:
            continue
        panels = {"Model": subset["confusion"]}
        if "baseline" in report:
            panels["Baseline"] = report["baseline"]["subsets"][name]["confusion"]
        made[f"confusion_{name}.png"] = functools.partial(
            confusion_figure, panels, labels=report["labels"], title=_TITLES[name]
        )
    if report["regions"] is not None:
        counts = {name: row["count"] for name, row in report["occlusions"].items()}
        counts |= {name: report["subsets"][name]["count"] for name in ("pose_30", "pose_45")}
        counts["unturned"] = report["subsets"]["all"]["count"] - counts["pose_30"]
        made[REGION_WEIGHTS] = functools.partial(
            region_figure,
            report["regions"]["weights"] | report["explain"]["pose_weights"],
            names=report["regions"]["names"],
            counts=counts,
        )
    attention = {
        role: part["explain"]["mu"]
        for role, part in (("Model", report), ("Baseline", report.get("baseline")))
        if part is not None and part["explain"]["mu"] is not None
    }
    if attention:
        made[ATTENTION] = functools.partial(attention_figure, attention)
    if find_faces and (faces := report.get("disagreements")):
        made[DISAGREEMENTS] = lambda: contact_sheet(
            faces, find_faces([face["id"] for face in faces])
        )
    return made


@styled
def confusion_figure(panels: dict[str, Sequence], *, labels: Sequence[str], title: str) -> Figure:
    """Confusion matrices side by side.

    Args:
      panels: i64[n, n] by name, rows are the truth.
      labels: n class names.
      title: what the faces are.
    """
    n = len(labels)
    matrix, names = 0.62 * n, 1.2
    width = names + (matrix + 0.3) * len(panels) + 1.1
    figure = Figure(figsize=(width, matrix + names + 0.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (name, confusion) in zip(axes, panels.items(), strict=True):
        confusion = np.asarray(confusion)
        faces = confusion.sum(axis=1, keepdims=True)
        shares = confusion / np.maximum(faces, 1)
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(n, n):
            if confusion[row, column]:
                axis.text(
                    column,
                    row,
                    f"{_short(shares[row, column])}\n{confusion[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if shares[row, column] > _DARK else INK,
                )
        right = np.trace(confusion) / confusion.sum()
        prefix = f"{name}: " if len(panels) > 1 else ""
        axis.set_title(f"{prefix}{right:.2%} of {confusion.sum():,} right")
        axis.set_xticks(range(n), labels, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(n), labels)
        axis.set_xlabel("predicted")
        _plain(axis, rows=n, columns=n)
    axes[0].set_ylabel("truth")
    bar = figure.colorbar(
        image, ax=axes, shrink=0.8, aspect=30, format=ticker.PercentFormatter(1, 0)
    )
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    figure.suptitle(title)
    return figure


@styled
def region_figure(
    weights: dict[str, Sequence[float] | None], *, names: Sequence[str], counts: dict[str, int]
) -> Figure:
    """Mean region weight by occlusion and pose; colours tell more or less than an equal share.

    Args:
      weights: f32[k] by kind of face, None for kinds without a face.
      names: k region names.
      counts: faces of each kind.
    """
    kinds = [kind for kind, row in weights.items() if row is not None]
    table = 100 * np.asarray([weights[kind] for kind in kinds])
    rows, columns = table.shape
    equal = 100 / columns
    # At least a tenth of an equal share, so that noise is not painted in full colour.
    span = max(0.1 * equal, float(np.abs(table - equal).max()))
    figure = Figure(figsize=(0.95 * columns + 3.0, 0.55 * rows + 1.9), layout="constrained")
    axis = figure.subplots()
    norm = colors.Normalize(equal - span, equal + span)
    image = axis.imshow(table, cmap="RdBu_r", norm=norm, aspect="auto")
    for row, column in np.ndindex(rows, columns):
        extreme = abs(table[row, column] - equal) / span
        axis.text(
            column,
            row,
            f"{table[row, column]:.1f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if extreme > 0.65 else INK,
        )
    axis.set_xticks(range(columns), names, rotation=30, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(rows), [f"{kind} ({counts[kind]:,})" for kind in kinds])
    axis.set_ylabel("occlusion or pose (faces)")
    axis.set_title("Mean share of each region in the prediction, %")
    _plain(axis, rows=rows, columns=columns)
    bar = figure.colorbar(image, ax=axis, aspect=15)
    bar.ax.set_ylim(bottom=max(0, equal - span))  # no share is negative
    bar.set_label(f"equal share is {equal:.1f}")
    bar.outline.set_visible(False)
    return figure


@styled
def attention_figure(panels: dict[str, dict]) -> Figure:
    """How mu of the whole face and of the best crop are distributed, and their difference.

    Args:
      panels: by name of the model, "mu" of `explain.explain`.
    """
    figure = Figure(figsize=(9.6, 2.9 * len(panels) + 0.3), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, sharex="col")
    for (left, right), (name, mu) in zip(grid, panels.items(), strict=True):
        for key, label, colour in (
            ("whole_face", "whole face", FIRST),
            ("best_crop", "best crop", SECOND),
        ):
            part = mu[key]
            left.stairs(part["faces"], part["edges"], fill=True, color=colour, alpha=0.45)
            left.axvline(
                part["mean"], color=colour, lw=1.5, label=f"{label}, mean {part['mean']:.3f}"
            )
        left.set_title(f"{name}: attention")
        left.set_ylabel("faces")
        left.legend()
        difference, share = mu["difference"], mu["above_margin"]["all"]["share"]
        right.stairs(difference["faces"], difference["edges"], fill=True, color=GREY)
        right.axvline(mu["margin"], color=VERMILION, lw=1.5, label=f"margin {mu['margin']}")
        right.set_title(f"{name}: {share:.1%} of faces beyond the margin")
        right.legend()
        for axis in (left, right):
            axis.set_ylim(top=1.3 * axis.get_ylim()[1])  # room for the legend
    grid[-1, 0].set_xlabel("mu")
    grid[-1, 1].set_xlabel("mu of the best crop minus mu of the whole face")
    return figure


@styled
def contact_sheet(disagreements: Sequence[dict], faces: dict[str, np.ndarray]) -> Figure:
    """The faces on which model and baseline differ most, with what both say and the truth.

    Args:
      disagreements: from `explain.disagreements`.
      faces: u8[h, w, 3] by id.
    """
    columns = min(_COLUMNS, len(disagreements))
    rows = -(-len(disagreements) // columns)
    figure = Figure(figsize=(1.75 * columns, 2.5 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, face in zip(axes, disagreements, strict=False):
        axis.imshow(faces[face["id"]])
        axis.set_title(f"{face['truth']}", fontsize=9, fontweight="bold", pad=3)
        for i, name in enumerate(("model", "baseline")):
            said = face[name]
            sign, colour = _RIGHT if said["label"] == face["truth"] else _WRONG
            axis.text(
                0.5,
                -0.06 - 0.13 * i,
                f"{sign} {name}: {said['label']} {said['probability']:.0%}",
                transform=axis.transAxes,
                ha="center",
                va="top",
                fontsize=7.5,
                color=colour,
            )
    figure.suptitle("Largest disagreements: above each face the truth")
    return figure


def _plain(axis, *, rows: int, columns: int) -> None:
    """No frame and ticks, thin white lines between the cells."""
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="minor", length=0)


def _short(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"
