"""The rows of the paper's ablation table: what each changes in one and the same training run."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ran_tf import vocabulary
from ran_tf.config import RegionConfig, TrainConfig
from ran_tf.settings import replaced

_WEIGHT = "objective.region_loss_weight"

# Of the region biased loss after the softmax of the released code (FERPlus): there mu is spread
# over the regions, and the paper's margin of .02 would ask for something else.
_SOFTMAX_MARGIN = 0.1

_LARGEST_K = 8


@dataclasses.dataclass(frozen=True)
class Row:
    """A run of the table.

    Attributes:
      name: also that of its folder.
      group: what the row is there to compare.
      config: the run.
    """

    name: str
    group: str
    config: TrainConfig


def make_rows(base: TrainConfig, *, landmarks: bool) -> dict[str, Row]:
    """Every row by name.

    Args:
      base: the run that rows change: its data, augmentation, optimizer, backbone and epochs.
      landmarks: whether the dataset knows landmarks, for the row that needs them.
    """
    paper = _change(
        base,
        {
            "data.regions": RegionConfig(kind="fixed", k=6),
            "model.attention": "sigmoid",
            "model.relation": True,
            _WEIGHT: 1.0,
        },
    )
    alone = {"model.relation": False}
    rows = [
        Row("self", "attention", _change(paper, {**alone, _WEIGHT: 0.0})),
        Row("self_rb", "attention", _change(paper, alone)),
        Row("self_relation", "attention", _change(paper, {_WEIGHT: 0.0})),
        Row("self_relation_rb", "attention, regions, number", paper),
        Row(
            "softmax",
            "attention",
            _change(paper, {"model.attention": "softmax", "objective.margin": _SOFTMAX_MARGIN}),
        ),
        Row("random", "regions", _with_regions(paper, RegionConfig(kind="random", k=6))),
    ]
    if landmarks:
        k = 1 + len(vocabulary.LANDMARKS)
        regions = RegionConfig(kind="landmarks", k=k, radius=base.data.regions.radius)
        rows.append(Row("landmarks", "regions", _with_regions(paper, regions)))
    for k in range(1, _LARGEST_K + 1):
        if k != paper.data.regions.k:  # that row is there already
            rows.append(Row(f"regions_{k}", "number", _with_regions(paper, _with_number(k))))
    return {row.name: row for row in rows}


def choose(rows: dict[str, Row], names: Sequence[str] | None) -> list[Row]:
    """The named rows, or all. Raises ValueError for a name that there is not."""
    unknown = sorted(set(names or ()) - rows.keys())
    if unknown:
        raise ValueError(
            f"`rows` must be some of {', '.join(rows)}. Received: {', '.join(unknown)}"
            + (
                "; the dataset has no landmarks, see ran_tf.launch.align --landmarks_only"
                if "landmarks" in unknown
                else ""
            )
        )
    return [row for name, row in rows.items() if names is None or name in names]


def _with_number(k: int) -> RegionConfig:
    """Fixed regions where the paper or its code has so many, else random ones."""
    for variant, numbers in vocabulary.REGION_VARIANTS.items():
        if k in numbers:
            return RegionConfig(kind="fixed", k=k, variant=variant)
    return RegionConfig(kind="random", k=k)


def _with_regions(config: TrainConfig, regions: RegionConfig) -> TrainConfig:
    return _change(config, {"data.regions": regions})


def _change(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    k = changes.get("data.regions", config.data.regions).k
    per_step = min(config.objective.regions_per_step, k)
    return replaced(config, {"objective.regions_per_step": per_step, **changes})
