"""Where a network looks on some faces, before and after something covers them: looks.png."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ran_tf.evaluation import exposure
from ran_tf.evaluation.robustness import corruptions
from ran_tf.inference.classifier import Classifier
from ran_tf.inference.figure_style import styled

# Faces of each kind, and the side of the map that is laid over a face, in pixels.
FACES, _SIDE = 2, 96
# Colours end where a place weighs this many times more, or less, than under equal weights.
_FOLD = 3.0


@dataclasses.dataclass(frozen=True)
class Look:
    """One face, seen as it is and covered.

    Attributes:
      kind: what covers it, of `corruptions.KINDS`.
      faces: u8[2, H, W, 3], as it is and covered.
      weights: f32[2, k], of its regions.
      boxes: f32[k, 4].
      covered: f32[k], the share of each region that is covered.
    """

    kind: str
    faces: np.ndarray
    weights: np.ndarray
    boxes: np.ndarray
    covered: np.ndarray


def find(
    classifier: Classifier, batch: dict, *, kinds: Sequence[str], faces: int = FACES
) -> list[Look]:
    """What a network with regions does on the first faces of a batch, under kinds that cover.

    Args:
      classifier: the model.
      batch: an evaluation batch with its faces whole.
      kinds: of `corruptions.KINDS`.
      faces: how many of each kind.

    Returns:
      `faces` looks of each kind that covers something; none of a whole face alone.
    """
    if "boxes" not in batch or batch["boxes"].shape[1] == 1:
        return []
    first = {name: np.asarray(values[:faces]) for name, values in batch.items()}
    ids = [str(i, "utf-8") for i in first["id"]]
    plain = classifier.predict(first)["weights"]
    looks = []
    for kind in kinds:
        opacity = corruptions.opacity(first["image"], ids, kind=kind)
        if opacity is None:
            continue
        shown = corruptions.corrupt(first["image"], ids, kind=kind)
        weights = classifier.predict({**first, "image": shown})["weights"]
        covered = exposure.shares(opacity, first)
        looks += [
            Look(
                kind=kind,
                faces=np.stack([first["image"][i], shown[i]]),
                weights=np.stack([plain[i], weights[i]]),
                boxes=first["boxes"][i],
                covered=covered[i],
            )
            for i in range(len(ids))
        ]
    return looks


def attention_map(weights: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How much more a place weighs than under equal weights: f64[_SIDE, _SIDE], 1 where the same.

    A place has the sum of the weights of the regions that it lies in.

    Args:
      weights: f32[k], that sum to 1.
      boxes: f32[k, 4], `y0, x0, y1, x1` in 0..1; one of them is the whole face.
    """
    centres = (np.arange(_SIDE) + 0.5) / _SIDE
    y0, x0, y1, x1 = boxes.T[..., None]
    rows, columns = (y0 <= centres) & (centres < y1), (x0 <= centres) & (centres < x1)
    inside = (rows[:, :, None] & columns[:, None, :]).astype(np.float64)
    own = np.tensordot(weights.astype(np.float64), inside, axes=1)
    return own / np.maximum(inside.mean(axis=0), 1e-9)


@styled
def figure(looks: Sequence[Look]) -> Figure:
    """Each face as it is, where the network looks on it, covered, and where it looks then."""
    kinds = list(dict.fromkeys(look.kind for look in looks))
    across = max(sum(look.kind == kind for look in looks) for kind in kinds)
    drawn = Figure(figsize=(4 * 1.02 * across + 1.2, 1.16 * len(kinds) + 0.5), layout="constrained")
    grid = drawn.subplots(len(kinds), 4 * across, squeeze=False)
    mapped = None
    for row, kind in zip(grid, kinds, strict=True):
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        of_kind = [look for look in looks if look.kind == kind]
        for look, axes in zip(of_kind, np.split(row, across), strict=False):
            for i in range(2):
                axes[2 * i].imshow(look.faces[i])
                axes[2 * i + 1].imshow(
                    look.faces[i].mean(axis=-1), cmap="gray", extent=(0, 1, 1, 0)
                )
                mapped = axes[2 * i + 1].imshow(
                    np.log(attention_map(look.weights[i], look.boxes) + 1e-9),
                    cmap="PuOr_r",
                    vmin=-np.log(_FOLD),
                    vmax=np.log(_FOLD),
                    alpha=0.6,
                    extent=(0, 1, 1, 0),
                )
            found = exposure.exposure(look.weights[1:], look.covered[None])
            if found is not None:
                axes[3].set_xlabel(f"exposure {found:.2f}", fontsize=7, labelpad=2)
        row[0].set_ylabel(kind, fontsize=8)
    for axis, name in zip(
        grid[0], ("as it is", "looks at", "covered", "looks at") * across, strict=True
    ):
        axis.set_title(name, fontsize=8)
    if mapped is not None:
        bar = drawn.colorbar(
            mapped, ax=grid, shrink=0.5, aspect=30, ticks=np.log([1 / _FOLD, 1, _FOLD])
        )
        bar.ax.set_yticklabels([f"1/{_FOLD:g}", "as equal weights", f"{_FOLD:g} times"], fontsize=7)
    return drawn
