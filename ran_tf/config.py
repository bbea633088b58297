"""Frozen dataclasses that describe a run; filled from flags at the edge (`ran_tf.launch`) only."""

import dataclasses
import numbers
from typing import Any

from ran_tf import specs

# Beyond them is a mistake, or a stranger's file: what a value may make this process allocate.
MAX_SIDE, MAX_REGIONS, MAX_COUNT = 4096, 256, 10**6


def check_choice(name: str, value: Any, choices) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    try:
        known = value in choices
    except (TypeError, ValueError):  # such as a list, or an array
        known = False
    if not known:
        raise ValueError(
            f"`{name}` must be one of {tuple(choices)}. Received: {name}={_shown(value)}"
        )


def unknown(name: str, value: Any) -> ValueError:
    """What an `else` raises that has no rule for a choice: one made known elsewhere alone."""
    return ValueError(f"`{name}` is not known here. Received: {name}={_shown(value)}")


def check_range(name: str, value: float, *, low: float, high: float = float("inf")) -> None:
    """Raises ValueError unless `low <= value <= high`, and `value` is finite and no bool."""
    try:
        inside = bool(low <= value <= high) and abs(value) != float("inf")
    except (TypeError, ValueError):  # such as text, or an array
        inside = False
    if isinstance(value, bool) or not inside:
        bounds = f"at least {low}" if high == float("inf") else f"in {low}..{high}"
        if isinstance(value, numbers.Real) and value == float("inf"):
            bounds += " and finite"
        raise ValueError(f"`{name}` must be {bounds}. Received: {name}={_shown(value)}")


def check_whole(name: str, value: int, *, low: int, high: float = float("inf")) -> None:
    """Raises ValueError unless `value` is an integer, and `low <= value <= high`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"`{name}` must be an integer. Received: {name}={_shown(value)}")
    check_range(name, value, low=low, high=high)


def check_size(name: str, value: Any, *, low: int = 1) -> tuple[int, int]:
    """Returns (height, width); raises ValueError unless both are in `low..MAX_SIDE` pixels."""
    try:
        height, width = value
    except (TypeError, ValueError):
        raise ValueError(
            f"`{name}` must be (height, width). Received: {name}={_shown(value)}"
        ) from None
    for side in (height, width):
        check_whole(name, side, low=low, high=MAX_SIDE)
    return int(height), int(width)


def check_framing(margin: float, drop: float, *, prefix: str = "") -> None:
    """Raises ValueError unless a face can be cut out so, see `faces.align.align_face`."""
    check_range(f"{prefix}margin", margin, low=-0.4, high=4.0)
    check_range(f"{prefix}drop", drop, low=-1.0, high=1.0)


def _shown(value: Any) -> str:
    """A value in an error: whole, unless it would hide what the error says."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "an integer of thousands of digits"
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 200 else f"{text[:200]}..."


@dataclasses.dataclass(frozen=True)
class RegionConfig:
    """How the regions of a face are chosen; region 0 is always the whole face.

    Attributes:
      kind: "fixed", "random" or "landmarks".
      k: number of regions, the whole face included; 1 is the whole-face baseline.
      variant: "paper" or "released", for `kind="fixed"`.
      radius: half the side of a landmark square, as a fraction of the face's side.
    """

    kind: str = "fixed"
    k: int = 6
    variant: str = "paper"
    radius: float = 0.4

    def __post_init__(self):
        check_choice("regions.kind", self.kind, specs.REGION_KINDS)
        check_choice("regions.variant", self.variant, specs.REGION_VARIANTS)
        check_whole("regions.k", self.k, low=1, high=MAX_REGIONS)
        check_range("regions.radius", self.radius, low=0.01, high=1.0)
        if self.kind == "landmarks":
            check_choice("regions.k", self.k, (1, 1 + len(specs.LANDMARKS)))
        elif self.kind == "fixed":
            check_choice("regions.k", self.k, specs.REGION_VARIANTS[self.variant])

    @property
    def follow_landmarks(self) -> bool:
        """Whether regions differ from face to face with its landmarks."""
        return self.kind == "landmarks" and self.k > 1


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which faces are read, and how they become batches.

    Attributes:
      regions: of each face.
      name: TFDS name, "ferplus" or "ferplus/votes" and the like.
      data_dir: TFDS directory, or None for TFDS' default.
      image_size: (height, width) in pixels that every whole face is resized to.
      target: "votes" (crowd distribution where the dataset has one) or "label".
      train_split, validation_split: TFDS split expressions; "" validates on nothing, for a run
        that keeps its last epoch.
      balanced: draw training faces with equal probability for each class.
      cache: keep decoded faces in memory.
    """

    name: str = "synthetic_faces"
    data_dir: str | None = None
    image_size: tuple[int, int] = (64, 64)
    target: str = "label"
    train_split: str = "train"
    validation_split: str = "validation"
    balanced: bool = False
    cache: bool = True
    regions: RegionConfig = dataclasses.field(default_factory=RegionConfig)

    def __post_init__(self):
        check_choice("data.target", self.target, specs.TARGETS)
        check_size("data.image_size", self.image_size, low=2)


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training faces, on the accelerator; zeros switch a part off.

    Attributes:
      flip: mirror half of the faces.
      rotate: largest rotation, degrees.
      scale: largest relative change of scale.
      shift: largest shift, fraction of the side.
      erase: probability of each of two occluders, turned rectangles and ellipses.
      erase_max: largest side of an occluder, fraction of the face's side.
      degrade: probability of blur and noise.
      light: largest relative change of contrast, and of brightness as a fraction of 255.
    """

    flip: bool = True
    rotate: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    erase: float = 0.25
    erase_max: float = 0.4
    degrade: float = 0.0
    light: float = 0.2

    def __post_init__(self):
        check_range("augment.rotate", self.rotate, low=0.0, high=180.0)
        check_range("augment.scale", self.scale, low=0.0, high=0.9)
        check_range("augment.shift", self.shift, low=0.0, high=1.0)
        check_range("augment.erase", self.erase, low=0.0, high=1.0)
        check_range("augment.erase_max", self.erase_max, low=0.01, high=1.0)
        check_range("augment.degrade", self.degrade, low=0.0, high=1.0)
        check_range("augment.light", self.light, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The update rule and its schedule.

    Attributes:
      name: "sgd" (momentum, weight decay added to the gradient as PyTorch does) or "adamw".
      learning_rate: peak learning rate, for the whole (global) batch.
      schedule: "cosine" to zero, "step" (x.1 at each of `milestones`) or "constant".
      warmup: fraction of all steps with a linear ramp.
      milestones: fractions of all steps, for "step".
      weight_decay: on kernels only: never on biases or batch normalisation.
      momentum: of "sgd".
      clip_norm: largest global norm of the gradient summed over replicas; 0 is no clipping.
      ema: decay of the exponential moving average of the weights; 0 is none.
    """

    name: str = "sgd"
    learning_rate: float = 0.1
    schedule: str = "cosine"
    warmup: float = 0.05
    milestones: tuple[float, ...] = (0.3, 0.5, 0.8)
    weight_decay: float = 1e-4
    momentum: float = 0.9
    clip_norm: float = 0.0
    ema: float = 0.998

    def __post_init__(self):
        check_choice("optimizer.name", self.name, specs.OPTIMIZERS)
        check_choice("optimizer.schedule", self.schedule, specs.SCHEDULES)
        check_range("optimizer.learning_rate", self.learning_rate, low=0.0, high=MAX_COUNT)
        if self.learning_rate == 0:
            raise ValueError(
                "`optimizer.learning_rate` must be above 0. Received: optimizer.learning_rate=0"
            )
        check_range("optimizer.warmup", self.warmup, low=0.0, high=1.0)
        check_range("optimizer.weight_decay", self.weight_decay, low=0.0, high=MAX_COUNT)
        check_range("optimizer.momentum", self.momentum, low=0.0, high=1.0)
        check_range("optimizer.clip_norm", self.clip_norm, low=0.0, high=MAX_COUNT)
        check_range("optimizer.ema", self.ema, low=0.0, high=1.0)
        for milestone in self.milestones:
            check_range("optimizer.milestones", milestone, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A whole training run.

    Attributes:
      data, augment, optimizer: the parts.
      model: arguments of `RegionAttentionNetwork`.
      epochs: passes over the training split.
      batch_size: global batch, over all replicas.
      regions_per_step: regions of a face that a step sees, the whole face and others at random;
        0 is all.
      freeze: name of the last backbone layer that keeps its weights and statistics, such as
        "conv_pw_5_relu"; "" trains all.
      margin: of the region biased loss; its weight is `region_loss_weight` (paper: 1).
      label_smoothing: share of the target that is spread evenly over the classes.
      mixup: parameter of the beta distribution of mixup's shares, see `training.mixup`; 0 is none.
      sync_batch_norm: take batch statistics over all replicas, as one device would; False: each
        replica over its own share, which is faster, and what the released code does.
      keep: the epoch whose weights the run leaves: "best", the most accurate on the validation
        split, or "last", where nothing is to be chosen (or there is nothing to choose on).
      seed: of data order, augmentation, random regions, initialisation and dropout.
      deterministic: let TensorFlow use deterministic operations only: the same seed on the same
        machine then gives the same weights to the last bit, on one device.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 10
    batch_size: int = 64
    regions_per_step: int = 0
    freeze: str = ""
    margin: float = 0.02
    region_loss_weight: float = 1.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    sync_batch_norm: bool = True
    keep: str = "best"
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self):
        check_whole("train.epochs", self.epochs, low=1, high=MAX_COUNT)
        check_whole("train.batch_size", self.batch_size, low=1, high=MAX_COUNT)
        for name in ("size", "region_map"):
            if self.model.get(name) is not None:
                check_size(f"model.{name}", self.model[name])
        check_range("model.dropout", self.model.get("dropout", 0.0), low=0.0, high=0.99)
        check_range("train.margin", self.margin, low=-1.0, high=1.0)
        check_whole(
            "train.regions_per_step", self.regions_per_step, low=0, high=self.data.regions.k
        )
        check_range("train.region_loss_weight", self.region_loss_weight, low=0.0, high=MAX_COUNT)
        check_range("train.label_smoothing", self.label_smoothing, low=0.0, high=0.99)
        # Beyond, the table of `training.mixup` is not exact.
        if self.mixup:
            check_range("train.mixup", self.mixup, low=0.01, high=4.0)
        check_choice("train.keep", self.keep, specs.KEEPS)
        if self.keep == "best" and not self.data.validation_split:
            raise ValueError(
                "`data.validation_split` must name the faces that the best epoch is chosen on; "
                "train.keep='last' needs none. Received: data.validation_split=''"
            )
        check_whole("train.seed", self.seed, low=0, high=2**31 - 1)
