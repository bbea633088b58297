"""Figures on what models looked at: attention of whole face and best crop, and a contact sheet."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

_COLUMNS = 6
_RIGHT, _WRONG = "#1b7837", "#b2182b"
_WHOLE, _CROP = "#1f5fa8", "#c2571a"


def attention_figure(panels: dict[str, dict]) -> Figure:
    """How mu of the whole face and of the best crop are distributed, and their difference.

    Args:
      panels: by name of the model, "mu" of `explain.explain`.
    """
    figure = Figure(figsize=(9.6, 2.9 * len(panels) + 0.3), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, sharex="col")
    for (left, right), (name, mu) in zip(grid, panels.items(), strict=True):
        for key, label, colour in (
            ("whole_face", "whole face", _WHOLE),
            ("best_crop", "best crop", _CROP),
        ):
            part = mu[key]
            left.stairs(part["faces"], part["edges"], fill=True, color=colour, alpha=0.45)
            left.axvline(
                part["mean"], color=colour, lw=1.5, label=f"{label}, mean {part['mean']:.3f}"
            )
        left.set_title(f"{name}: attention", fontsize=10)
        left.set_ylabel("faces")
        left.legend(frameon=False, fontsize=8)
        difference, share = mu["difference"], mu["above_margin"]["all"]["share"]
        right.stairs(difference["faces"], difference["edges"], fill=True, color="#777777")
        right.axvline(mu["margin"], color=_WRONG, lw=1.5, label=f"margin {mu['margin']}")
        right.set_title(f"{name}: {share:.1%} of faces beyond the margin", fontsize=10)
        right.legend(frameon=False, fontsize=8)
        for axis in (left, right):
            axis.spines[["top", "right"]].set_visible(False)
    grid[-1, 0].set_xlabel("mu")
    grid[-1, 1].set_xlabel("mu of the best crop less mu of the whole face")
    return figure


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
            axis.text(
                0.5,
                -0.06 - 0.13 * i,
                f"{name}: {said['label']} {said['probability']:.0%}",
                transform=axis.transAxes,
                ha="center",
                va="top",
                fontsize=7.5,
                color=_RIGHT if said["label"] == face["truth"] else _WRONG,
            )
    figure.suptitle("Largest disagreements: above each face the truth", fontsize=11)
    return figure
