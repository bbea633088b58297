"""Flags that describe a run, and how they become the dataclasses of `ran_tf.config`."""

import re

from absl import flags

from ran_tf import config, specs

_DATA, _AUGMENT, _OPTIMIZER, _RUN = (
    config.DataConfig(),
    config.AugmentConfig(),
    config.OptimizerConfig(),
    config.TrainConfig(),
)


def define_training_flags() -> None:
    """Defines every flag of a training run; defaults are those of the dataclasses."""
    flags.DEFINE_string("dataset", _DATA.name, "TFDS name, perhaps with a /config.")
    flags.DEFINE_string("data_dir", None, "TFDS directory; TFDS' default when absent.")
    flags.DEFINE_string("train_split", _DATA.train_split, "TFDS split to train on.")
    flags.DEFINE_string(
        "validation_split",
        _DATA.validation_split,
        'TFDS split that the best epoch is chosen on; "" with --keep=last: none.',
    )
    flags.DEFINE_integer("image_size", _DATA.image_size[0], "Side of the whole face, pixels.")
    flags.DEFINE_enum("target", _DATA.target, specs.TARGETS, "What the classifier learns.")
    flags.DEFINE_bool("balanced", _DATA.balanced, "Draw each class equally often.")
    flags.DEFINE_bool("cache", _DATA.cache, "Keep decoded faces in memory.")

    flags.DEFINE_enum("regions", _DATA.regions.kind, specs.REGION_KINDS, "Kind of regions.")
    flags.DEFINE_integer(
        "num_regions", _DATA.regions.k, "Regions with the whole face; 1: baseline.", lower_bound=1
    )
    flags.DEFINE_enum(
        "region_variant",
        _DATA.regions.variant,
        list(specs.REGION_VARIANTS),
        "Whose fixed regions: the paper's or its released code's.",
    )
    flags.DEFINE_float("landmark_radius", _DATA.regions.radius, "Half side of a landmark region.")

    flags.DEFINE_string("backbone", "resnet18", "resnet18/34/50, vgg16, mobilenet_v1, or a name.")
    flags.DEFINE_enum("attention", "sigmoid", specs.ATTENTIONS, "sigmoid: paper; softmax: code.")
    flags.DEFINE_bool("relation", True, "Relation-attention; False is the paper's ablation.")
    flags.DEFINE_enum(
        "preprocessing",
        "standard",
        specs.PREPROCESSINGS,
        "Of pixels at the backbone: its usual mean and scale, or unit, 0..1: the authors' weights.",
    )
    flags.DEFINE_integer("region_size", 224, "Side of a region at the backbone, pixels.")
    flags.DEFINE_enum("trunk", "full", specs.TRUNKS, "shared: early layers see a face only once.")
    flags.DEFINE_string(
        "trunk_split", "", "Last early layer of a shared trunk; the backbone's default."
    )
    flags.DEFINE_integer(
        "region_map", 0, "Side of a region's map in a shared trunk; 0: the face's.", lower_bound=0
    )
    flags.DEFINE_float("dropout", 0.0, "On the feature that the classifier reads.")
    flags.DEFINE_enum("dtype", "float32", specs.DTYPES, "Policy of the model.")

    flags.DEFINE_bool("flip", _AUGMENT.flip, "Mirror half of the faces.")
    flags.DEFINE_float("rotate", _AUGMENT.rotate, "Largest rotation, degrees.")
    flags.DEFINE_float("scale", _AUGMENT.scale, "Largest relative change of scale.")
    flags.DEFINE_float("shift", _AUGMENT.shift, "Largest shift, fraction of the side.")
    flags.DEFINE_float("erase", _AUGMENT.erase, "Probability of each of two occluders.")
    flags.DEFINE_float("erase_max", _AUGMENT.erase_max, "Their largest side, fraction.")
    flags.DEFINE_float("degrade", _AUGMENT.degrade, "Probability of blur and noise.")
    flags.DEFINE_float("light", _AUGMENT.light, "Largest change of contrast and brightness.")

    flags.DEFINE_enum("optimizer", _OPTIMIZER.name, specs.OPTIMIZERS, "Update rule.")
    flags.DEFINE_float("learning_rate", _OPTIMIZER.learning_rate, "Peak, for the global batch.")
    flags.DEFINE_enum("schedule", _OPTIMIZER.schedule, specs.SCHEDULES, "Of the learning rate.")
    flags.DEFINE_float("warmup", _OPTIMIZER.warmup, "Fraction of all steps.")
    flags.DEFINE_list(
        "milestones", [str(m) for m in _OPTIMIZER.milestones], "Of schedule=step, fractions."
    )
    flags.DEFINE_float("weight_decay", _OPTIMIZER.weight_decay, "Of kernels only.")
    flags.DEFINE_float("momentum", _OPTIMIZER.momentum, "Of sgd.")
    flags.DEFINE_float("clip_norm", _OPTIMIZER.clip_norm, "Largest global gradient norm; 0: none.")
    flags.DEFINE_float("ema", _OPTIMIZER.ema, "Decay of the average of the weights; 0: none.")

    flags.DEFINE_integer("epochs", _RUN.epochs, "Passes over the training split.")
    flags.DEFINE_integer("batch_size", _RUN.batch_size, "Global batch, faces.")
    flags.DEFINE_integer(
        "regions_per_step", _RUN.regions_per_step, "Regions of a face that a step sees; 0: all."
    )
    flags.DEFINE_string("freeze", _RUN.freeze, "Last backbone layer that is not trained.")
    flags.DEFINE_float("margin", _RUN.margin, "Of the region biased loss.")
    flags.DEFINE_float("region_loss_weight", _RUN.region_loss_weight, "Weight of that loss.")
    flags.DEFINE_float("label_smoothing", _RUN.label_smoothing, "Share spread over the classes.")
    flags.DEFINE_float("mixup", _RUN.mixup, "Blend faces: parameter of their shares; 0: none.")
    flags.DEFINE_bool(
        "sync_batch_norm", _RUN.sync_batch_norm, "Batch statistics of all devices together."
    )
    flags.DEFINE_enum(
        "keep",
        _RUN.keep,
        specs.KEEPS,
        "Epoch whose weights stay: best on validation or last.",
    )
    flags.DEFINE_integer("seed", _RUN.seed, "Of everything random.")
    flags.DEFINE_bool(
        "deterministic", _RUN.deterministic, "Same seed, same weights, to the last bit; slower."
    )


# Settings of `TrainConfig` whose flag has another name than their own.
_FLAG_OF = {
    "name": "dataset",
    "regions.kind": "regions",
    "regions.k": "num_regions",
    "regions.variant": "region_variant",
    "regions.radius": "landmark_radius",
    "model.size": "region_size",
    "model.split": "trunk_split",
    "optimizer.name": "optimizer",
}
# What a run must be equal in and no flag sets: two folders of one name and version may differ.
_WORDS_FOR = {
    "dataset": "the prepared dataset",
    "labels": "the dataset's list of labels",
    "train_faces": "the number of training faces in --data_dir",
    "train_data": "the fingerprint of the training faces and their labels in --data_dir",
}


# As the errors of the dataclasses name them.
_SETTING = re.compile(r"\b(?:data|regions|augment|optimizer|model|train)\.[a-z_]+")


def flag_of(setting: str) -> str:
    """The flag of a setting of `train_config`'s result, such as "data.name": "--dataset".

    Of what `OtherRunError` compares beside these: words, as no flag says it.
    """
    if setting in _WORDS_FOR:
        return _WORDS_FOR[setting]
    setting = setting.removeprefix("data.")
    return f"--{_FLAG_OF.get(setting, setting.rsplit('.', 1)[-1])}"


def train_config(values: flags.FlagValues) -> config.TrainConfig:
    """The run that the flags describe. Raises ValueError for one that makes no sense."""
    try:
        return _train_config(values)
    except ValueError as error:
        # What the dataclasses call a setting, the user knows as a flag.
        raise ValueError(_SETTING.sub(lambda found: flag_of(found[0]), str(error))) from error


def _train_config(values: flags.FlagValues) -> config.TrainConfig:
    return config.TrainConfig(
        data=config.DataConfig(
            name=values.dataset,
            data_dir=values.data_dir,
            image_size=(values.image_size, values.image_size),
            target=values.target,
            train_split=values.train_split,
            validation_split=values.validation_split,
            balanced=values.balanced,
            cache=values.cache,
            regions=config.RegionConfig(
                kind=values.regions,
                k=values.num_regions,
                variant=values.region_variant,
                radius=values.landmark_radius,
            ),
        ),
        augment=config.AugmentConfig(
            flip=values.flip,
            rotate=values.rotate,
            scale=values.scale,
            shift=values.shift,
            erase=values.erase,
            erase_max=values.erase_max,
            degrade=values.degrade,
            light=values.light,
        ),
        optimizer=config.OptimizerConfig(
            name=values.optimizer,
            learning_rate=values.learning_rate,
            schedule=values.schedule,
            warmup=values.warmup,
            milestones=_fractions(values.milestones),
            weight_decay=values.weight_decay,
            momentum=values.momentum,
            clip_norm=values.clip_norm,
            ema=values.ema,
        ),
        model={
            "backbone": values.backbone,
            "attention": values.attention,
            "relation": values.relation,
            "size": (values.region_size, values.region_size),
            "trunk": values.trunk,
            "split": values.trunk_split or None,
            "region_map": (values.region_map, values.region_map) if values.region_map else None,
            "dropout": values.dropout,
            "preprocessing": values.preprocessing,
            "dtype": values.dtype,
        },
        epochs=values.epochs,
        batch_size=values.batch_size,
        # So that the flag alone makes the whole-face baseline of any recipe.
        regions_per_step=values.regions_per_step if values.num_regions > 1 else 0,
        freeze=values.freeze,
        margin=values.margin,
        region_loss_weight=values.region_loss_weight,
        label_smoothing=values.label_smoothing,
        mixup=values.mixup,
        sync_batch_norm=values.sync_batch_norm,
        keep=values.keep,
        seed=values.seed,
        deterministic=values.deterministic,
    )


def _fractions(texts: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise ValueError(
            f"--milestones must be numbers with commas between. Received: {error}"
        ) from error
