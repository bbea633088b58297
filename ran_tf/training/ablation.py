"""The rows of the paper's ablation table: what each changes in one and the same training run."""

import dataclasses
from collections.abc import Sequence

from ran_tf import specs
from ran_tf.config import RegionConfig, TrainConfig

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
        regions=RegionConfig(kind="fixed", k=6),
        model={"attention": "sigmoid", "relation": True},
        region_loss_weight=1.0,
    )
    rows = [
        Row("self", "attention", _change(paper, model={"relation": False}, region_loss_weight=0.0)),
        Row("self_rb", "attention", _change(paper, model={"relation": False})),
        Row("self_relation", "attention", _change(paper, region_loss_weight=0.0)),
        Row("self_relation_rb", "attention, regions, number", paper),
        Row(
            "softmax",
            "attention",
            _change(paper, model={"attention": "softmax"}, margin=_SOFTMAX_MARGIN),
        ),
        Row("random", "regions", _change(paper, regions=RegionConfig(kind="random", k=6))),
    ]
    if landmarks:
        k = 1 + len(specs.LANDMARKS)
        regions = RegionConfig(kind="landmarks", k=k, radius=base.data.regions.radius)
        rows.append(Row("landmarks", "regions", _change(paper, regions=regions)))
    for k in range(1, _LARGEST_K + 1):
        if k != paper.data.regions.k:  # that row is there already
            rows.append(Row(f"regions_{k}", "number", _change(paper, regions=_with_number(k))))
    return {row.name: row for row in rows}


def choose(rows: dict[str, Row], names: Sequence[str] | None) -> list[Row]:
    """The named rows, or all. Raises ValueError for a name that there is not."""
    unknown = sorted(set(names or ()) - rows.keys())
    if unknown:
        raise ValueError(
            f"`rows` must be some of {', '.join(rows)}. Received: {', '.join(unknown)}"
            + (
                "; the dataset knows no landmarks, see ran_tf.launch.align --landmarks_only"
                if "landmarks" in unknown
                else ""
            )
        )
    return [row for name, row in rows.items() if names is None or name in names]


def _with_number(k: int) -> RegionConfig:
    """Fixed regions where the paper or its code has so many, else random ones."""
    for variant, numbers in specs.REGION_VARIANTS.items():
        if k in numbers:
            return RegionConfig(kind="fixed", k=k, variant=variant)
    return RegionConfig(kind="random", k=k)


def _change(config: TrainConfig, *, regions: RegionConfig | None = None, model=None, **changes):
    data = config.data
    if regions is not None:
        data = dataclasses.replace(data, regions=regions)
    return dataclasses.replace(
        config,
        data=data,
        model={**config.model, **(model or {})},
        regions_per_step=min(config.regions_per_step, data.regions.k),
        **changes,
    )
