"""Frozen dataclasses that describe a run: every setting once, see `ran_tf.settings`."""

import dataclasses

from ran_tf import registry, vocabulary
from ran_tf.checks import MAX_COUNT, MAX_REGIONS, InvalidArgument, check_choice
from ran_tf.settings import Checked, setting

# Side of the squares of a grid, pixels of a face: smaller ones show nothing.
_LEAST_SQUARE = 8


@dataclasses.dataclass(frozen=True)
class RegionConfig(Checked):
    """How the regions of a face are chosen; region 0 is always the whole face.

    Example:
      >>> ran_tf.RegionConfig(kind="random", k=8).k
      8
    """

    kind: str = setting("fixed", "Kind of regions.", choices=registry.REGIONS, flag="regions")
    k: int = setting(
        6,
        "Number of regions, the whole face included; 1: the whole-face baseline.",
        low=1,
        high=MAX_REGIONS,
        flag="num_regions",
    )
    variant: str = setting(
        "paper",
        "Set of fixed regions: the paper's, or that of its released code.",
        choices=vocabulary.REGION_VARIANTS,
        flag="region_variant",
    )
    radius: float = setting(
        0.4,
        "Half the side of a landmark region, as a fraction of the face's side.",
        low=0.01,
        high=1.0,
        flag="landmark_radius",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.kind == "landmarks":
            check_choice("k", self.k, (1, 1 + len(vocabulary.LANDMARKS)))
        elif self.kind == "fixed":
            check_choice("k", self.k, vocabulary.REGION_VARIANTS[self.variant])
        elif self.kind == "grid":
            check_choice("k", self.k, vocabulary.GRID_SIZES)

    @property
    def follow_landmarks(self) -> bool:
        """Whether the regions follow the landmarks of each face."""
        return self.k > 1 and registry.REGIONS.find(self.kind, argument="kind").follows


@dataclasses.dataclass(frozen=True)
class DataConfig(Checked):
    """Which faces are read, and how they become batches.

    Example:
      >>> ran_tf.DataConfig(name="ferplus", target="votes").train_split
      'train'
    """

    name: str = setting("synthetic_faces", "TFDS dataset, NAME or NAME/CONFIG.", flag="dataset")
    data_dir: str | None = setting(
        None, "TFDS directory; TFDS' default when absent.", identity=False
    )
    image_size: tuple[int, int] = setting(
        (64, 64), "Side of the whole face, pixels.", low=2, size=True
    )
    target: str = setting(
        "label",
        "Target of the classifier: the label, or the annotators' votes if the dataset has them.",
        choices=vocabulary.TARGETS,
    )
    train_split: str = setting("train", "TFDS split to train on.")
    validation_split: str = setting(
        "validation", 'TFDS split on which the best epoch is chosen; may be "" with --keep=last.'
    )
    balanced: bool = setting(False, "Draw each class equally often.")
    cache: bool = setting(True, "Keep decoded faces in memory.", identity=False)
    regions: RegionConfig = dataclasses.field(default_factory=RegionConfig)


@dataclasses.dataclass(frozen=True)
class AugmentConfig(Checked):
    """Augmentation of training faces, on the accelerator. A zero switches a part off.

    Example:
      >>> ran_tf.AugmentConfig(erase=0.0).flip
      True
    """

    flip: bool = setting(True, "Mirror half of the faces.")
    rotate: float = setting(10.0, "Largest rotation, degrees.", high=180.0)
    scale: float = setting(0.1, "Largest relative change of scale.", high=0.9)
    shift: float = setting(0.05, "Largest shift, as a fraction of the side.", high=1.0)
    erase: float = setting(
        0.25, "Probability of each of two plain occluders: turned rectangles, ellipses.", high=1.0
    )
    erase_max: float = setting(
        0.4,
        "Largest side of a plain occluder, as a fraction of the face's side.",
        low=0.01,
        high=1.0,
    )
    cover: float = setting(
        0.0,
        "Probability of a drawn occluder: mask, glasses, hand, hair, hat, phone and others.",
        high=1.0,
    )
    cover_drawings: int = setting(
        2048,
        "Number of different drawn occluders. They are drawn when a run begins.",
        low=1,
        high=65536,
    )
    cover_without: tuple[str, ...] = setting(
        (), "Kinds of drawn occluders to leave out, such as mask,hand.", choices=vocabulary.COVERS
    )
    degrade: float = setting(0.0, "Probability of blur and noise.", high=1.0)
    spoil: float = setting(
        0.0,
        "Probability of a flaw of photos: JPEG, low resolution, fog, light, motion blur or noise.",
        high=1.0,
    )
    light: float = setting(
        0.2,
        "Largest relative change of contrast; largest change of brightness, as a fraction of 255.",
        high=1.0,
    )
    augmentations: tuple[str, ...] = setting(
        (),
        "Registered augmentations, applied last: NAME or NAME:AMOUNT.",
        choices=registry.AUGMENTATIONS,
        open=True,
    )

    def __post_init__(self):
        super().__post_init__()
        registry.AUGMENTATIONS.with_numbers(self.augmentations, argument="augmentations")


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig(Checked):
    """What a network is trained for: losses and augmentation, see `ran_tf.models.objective`.

    Example:
      >>> objective = ran_tf.ObjectiveConfig(mixup=0.2, augment=ran_tf.AugmentConfig(degrade=0.1))
      >>> objective.margin
      0.02
    """

    margin: float = setting(0.02, "Margin of the region biased loss.", low=-1.0, high=1.0)
    region_loss_weight: float = setting(
        1.0, "Weight of the region biased loss (paper: 1).", high=MAX_COUNT
    )
    visibility_weight: float = setting(
        0.0,
        "Weight of the visibility loss, which moves attention to regions that nothing covers.",
        high=MAX_COUNT,
    )
    visibility_loss: str = setting(
        "kl",
        "Kind of visibility loss: kl, divergence from visibility^4; own, divergence from the "
        "network's own weights times visibility^4; rank, the more visible region must weigh more.",
        choices=vocabulary.VISIBILITY_LOSSES,
    )
    label_smoothing: float = setting(
        0.0, "Share of the target that is spread evenly over the classes.", high=0.99
    )
    # Beyond 4, the table of `augment.mixup` is not exact.
    mixup: float = setting(
        0.0,
        "Mixup: both parameters of the Beta distribution from which the mixing shares are "
        "drawn; 0: off.",
        high=4.0,
    )
    regions_per_step: int = setting(
        0,
        "Regions of each face in a training step: the whole face and random others; 0: all.",
        low=0,
        high=MAX_REGIONS,
    )
    losses: tuple[str, ...] = setting(
        (),
        "Registered losses that are added to the loss: NAME or NAME:WEIGHT.",
        choices=registry.LOSSES,
        open=True,
    )
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)

    def __post_init__(self):
        super().__post_init__()
        if 0.0 < self.mixup < 0.01:
            raise InvalidArgument("mixup", "0, or in 0.01..4", self.mixup)
        if self.visibility_weight and not (self.augment.cover or self.augment.erase):
            raise InvalidArgument(
                "visibility_weight",
                "0, because no training face is covered (augment.cover and augment.erase are 0)",
                self.visibility_weight,
            )
        registry.LOSSES.with_numbers(self.losses, argument="losses")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Checked):
    """The update rule and its schedule.

    Example:
      >>> ran_tf.OptimizerConfig(name="adamw", learning_rate=1e-3).schedule
      'cosine'
    """

    name: str = setting(
        "sgd",
        "Update rule: sgd (momentum, decay added to the gradient as PyTorch does), adamw, or a "
        "registered one.",
        choices=registry.OPTIMIZERS,
        flag="optimizer",
    )
    learning_rate: float = setting(
        0.1, "Peak learning rate, for the global batch.", low=1e-12, high=MAX_COUNT
    )
    schedule: str = setting(
        "cosine",
        "Learning rate over time: cosine to zero, step (times 0.1 at each milestone), or constant.",
        choices=vocabulary.SCHEDULES,
    )
    warmup: float = setting(
        0.05, "Fraction of all steps in which the learning rate rises linearly.", high=1.0
    )
    milestones: tuple[float, ...] = setting(
        (0.3, 0.5, 0.8), "Milestones of --schedule=step, as fractions of all steps.", high=1.0
    )
    weight_decay: float = setting(
        1e-4, "Weight decay of kernels; biases and batch normalisation have none.", high=MAX_COUNT
    )
    momentum: float = setting(0.9, "Momentum of sgd.", high=1.0)
    clip_norm: float = setting(
        0.0, "Largest norm of the gradient of the global batch; 0: no clipping.", high=MAX_COUNT
    )
    ema: float = setting(
        0.998, "Decay of the exponential moving average of the weights; 0: none.", high=1.0
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(Checked):
    """The arguments of `RegionAttentionNetwork` that a run chooses.

    Example:
      >>> ran_tf.ModelConfig(backbone="mobilenet_v1", trunk="shared").attention
      'sigmoid'
    """

    backbone: str = setting(
        "resnet18",
        "Backbone: a known one, a model of keras.applications, or a registered one.",
        choices=registry.BACKBONES,
        open=True,
    )
    attention: str = setting(
        "sigmoid",
        "Attention over regions: sigmoid (paper), softmax (released code), or a registered one.",
        choices=registry.ATTENTIONS,
    )
    relation: bool = setting(True, "Use relation-attention; False is the paper's ablation.")
    size: tuple[int, int] = setting(
        (224, 224),
        "Side of the backbone's input, pixels: a region, or the whole face with --trunk=shared.",
        size=True,
        flag="region_size",
    )
    trunk: str = setting(
        "full",
        "full: all layers see each region; shared: early layers see each face once.",
        choices=vocabulary.TRUNKS,
    )
    split: str | None = setting(
        None,
        "Last early layer of a shared trunk; the backbone's default when absent.",
        flag="trunk_split",
    )
    region_map: tuple[int, int] | None = setting(
        None,
        "Side of a region's feature map in a shared trunk; when absent, the side of the whole "
        "face's feature map.",
        size=True,
    )
    dropout: float = setting(
        0.0, "Dropout rate on the feature that the classifier reads.", high=0.99
    )
    preprocessing: str = setting(
        "standard",
        "Preprocessing of pixels: standard (the backbone's mean and scale), or unit (0..1, as for "
        "the authors' weights).",
        choices=vocabulary.PREPROCESSINGS,
    )
    dtype: str = setting(
        "float32",
        "Precision policy of the model; see keras.DTypePolicy.",
        choices=vocabulary.DTYPES,
    )

    def __post_init__(self):
        super().__post_init__()
        # The names of keras.applications have a capital; Keras is not loaded for them here.
        if not self.backbone[:1].isupper():
            registry.BACKBONES.check(self.backbone, argument="backbone")


@dataclasses.dataclass(frozen=True)
class TrainConfig(Checked):
    """A whole training run.

    Example:
      >>> config = ran_tf.TrainConfig(epochs=3, data=ran_tf.DataConfig(name="ferplus"))
      >>> config.data.name, config.epochs
      ('ferplus', 3)
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    epochs: int = setting(10, "Passes over the training split.", low=1, high=MAX_COUNT)
    batch_size: int = setting(64, "Global batch size, faces.", low=1, high=MAX_COUNT)
    teacher: tuple[str, ...] = setting(
        (),
        "Trained networks that act as teachers: their answers to the uncovered faces become a "
        "share of the targets.",
    )
    teacher_share: float = setting(
        0.5, "Share of the teachers' answers in the targets.", low=0.0, high=1.0
    )
    freeze: str = setting(
        "", 'Last backbone layer that is frozen, with all layers before it; "": none is frozen.'
    )
    sync_batch_norm: bool = setting(
        True, "Compute batch statistics over all devices, as one device would; False is faster."
    )
    keep: str = setting(
        "best",
        "Epoch whose weights are kept: best (on the validation split) or last.",
        choices=vocabulary.KEEPS,
    )
    seed: int = setting(0, "Seed of all random numbers.", low=0, high=2**31 - 1)
    deterministic: bool = setting(
        False,
        "Equal seeds give equal weights to the last bit, on one device; slower.",
        identity=False,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.objective.regions_per_step > self.data.regions.k:
            raise InvalidArgument(
                "objective.regions_per_step",
                f"at most the number of regions, {self.data.regions.k}",
                self.objective.regions_per_step,
            )
        if self.data.regions.kind == "grid" and self.data.regions.k > 1:
            self._check_squares()
        if self.keep == "best" and not self.data.validation_split:
            raise InvalidArgument(
                "data.validation_split",
                "a split on which the best epoch is chosen; keep='last' needs none",
                self.data.validation_split,
            )

    def _check_squares(self) -> None:
        """Of a grid: half the side of what they are cut out of."""
        shared = self.model.trunk == "shared"
        name = "model.size" if shared else "data.image_size"
        size = self.model.size if shared else self.data.image_size
        if min(size) < 2 * _LEAST_SQUARE:
            raise InvalidArgument(
                name,
                f"at least {2 * _LEAST_SQUARE} pixels on each side for regions of a grid",
                size,
            )


@dataclasses.dataclass(frozen=True)
class VideoConfig(Checked):
    """How the people of a video are followed."""

    every: float = setting(1.0, "Seconds between frames of a video; 0: every frame.")
    smooth: float = setting(
        0.5,
        "Time constant of the moving average of a person's probabilities in a video, "
        "seconds; needs --align; 0: no average.",
    )
