"""One training step of our networks on Keras' JAX backend, whole on the accelerator.

The model, augmentation, crops, region dropout, losses and learning rate are the package's; what
`ran_tf.training.step` does with TensorFlow is done here with `stateless_call` and `jax.grad`, so
that a machine without TensorFlow trains the same way.
"""

import dataclasses

import jax
import jax.numpy as jnp
import keras

from ran_tf import losses
from ran_tf.config import AugmentConfig, OptimizerConfig
from ran_tf.models import presets, weights_file
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.regions import boxes as region_boxes
from ran_tf.training import augment, mixup, region_dropout, update


@dataclasses.dataclass(frozen=True)
class StepConfig:
    """What a step does; names as in `ran_tf.config.TrainConfig` where it has them.

    Attributes:
      regions: number of regions; 1 is the whole face.
    """

    regions: int = 6
    regions_per_step: int = 0
    margin: float = 0.02
    mixup: float = 0.0
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)


def regions_of(image, *, count: int) -> dict:
    """Inputs of the model: grey faces in three channels, and the paper's regions."""
    batch = image.shape[0]
    boxes = region_boxes.fixed_boxes(count)
    return {
        "image": jnp.broadcast_to(image, (*image.shape[:-1], 3)),
        "boxes": jnp.broadcast_to(jnp.asarray(boxes), (batch, count, 4)),
        "mask": jnp.ones((batch, count), bool),
    }


def initial_state(model: RegionAttentionNetwork) -> dict:
    """What a step changes, as lists of arrays."""
    trained = [jnp.array(v.value) for v in model.trainable_variables]
    others = [jnp.array(v.value) for v in model.non_trainable_variables]
    return {
        "trained": trained,
        "others": others,
        "momentum": [jnp.zeros_like(v) for v in trained],
        # Copies: a jitted step may overwrite its arguments.
        "ema": [jnp.array(v) for v in trained],
        "ema_others": [jnp.array(v) for v in others],
    }


def assign_average(model: RegionAttentionNetwork, state: dict) -> None:
    """Gives the model the moving averages of its weights."""
    for variables, values in (
        (model.trainable_variables, state["ema"]),
        (model.non_trainable_variables, state["ema_others"]),
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def make_step(model: RegionAttentionNetwork, config: StepConfig):
    """`step(state, image, targets, key, rate, number) -> state, {cross_entropy, region_loss}`.

    Args:
      model: as `initial_state` saw it; its own variables are left as they are.
      config: what to do.

    `image` is u8[b, H, W, 1], `targets` f32[b, n], `key` of `jax.random`, `rate` the learning rate
    and `number` the step's, i32[]. Means over the batch come back.
    """
    decayed = [update.is_decayed(v) for v in model.trainable_variables]

    def make_batch(image, targets, key):
        keys = dict(zip(("draws", "regions", "mixup"), jax.random.split(key, 3), strict=True))
        inputs = regions_of(image, count=config.regions)
        draws = jax.random.uniform(keys["draws"], (image.shape[0], augment.NUM_DRAWS))
        # Grey until the network: a third of the work.
        grey = augment.augment(image, inputs["boxes"], draws, config=config.augment)["image"]
        if config.mixup:
            draws = jax.random.uniform(keys["mixup"], (image.shape[0],))
            mixed = mixup.mix(grey, targets, draws, alpha=config.mixup)
            grey, targets = mixed["image"], mixed["targets"]
        inputs["image"] = jnp.broadcast_to(grey, inputs["image"].shape)
        if config.regions_per_step:
            inputs |= region_dropout.choose_regions(
                inputs["boxes"],
                inputs["mask"],
                jax.random.uniform(keys["regions"], (image.shape[0], config.regions - 1)),
                count=config.regions_per_step,
            )
        return inputs, targets

    def loss(trained, others, inputs, targets):
        outputs, others = model.stateless_call(trained, others, inputs, training=True)
        entropy = jnp.mean(losses.cross_entropy(outputs["logits"], targets))
        region = jnp.mean(losses.region_biased_loss(outputs["mu"], margin=config.margin))
        sums = {"cross_entropy": entropy, "region_loss": region}
        return entropy + region, (others, sums)

    def step(state, image, targets, key, rate, number):
        inputs, targets = make_batch(image, targets, key)
        slopes, (others, sums) = jax.grad(loss, has_aux=True)(
            state["trained"], state["others"], inputs, targets
        )
        weight_decay = config.optimizer.weight_decay
        slopes = [
            g + weight_decay * v if decays else g
            for g, v, decays in zip(slopes, state["trained"], decayed, strict=True)
        ]
        momentum = [
            config.optimizer.momentum * m - rate * g
            for m, g in zip(state["momentum"], slopes, strict=True)
        ]
        trained = [v + m for v, m in zip(state["trained"], momentum, strict=True)]
        keep = update.averaging_decay(number, ema=config.optimizer.ema)
        return {
            "trained": trained,
            "others": others,
            "momentum": momentum,
            "ema": [_average(a, v, keep) for a, v in zip(state["ema"], trained, strict=True)],
            "ema_others": [
                _average(a, v, keep) for a, v in zip(state["ema_others"], others, strict=True)
            ],
        }, sums

    return step


def _average(average, value, keep):
    if not jnp.issubdtype(value.dtype, jnp.floating):  # states of random generators
        return value
    return average + (1.0 - keep) * (value - average)


def build_model(backbone: str, *, size: int, dropout: float) -> RegionAttentionNetwork:
    """A network for FERPlus in bfloat16 with random weights, as the recipes have it."""
    return RegionAttentionNetwork(
        backbone, 8, size=(size, size), dropout=dropout, dtype="mixed_bfloat16"
    )


def fill(model: RegionAttentionNetwork, source: str, *, seed: int) -> None:
    """Gives the model new random weights, and those of a preset, a network or a backbone.

    Args:
      model: of `build_model`.
      source: name of a preset, or a weights file.
      seed: of the random ones.
    """
    keras.utils.set_random_seed(seed)
    model.set_weights(RegionAttentionNetwork.from_config(model.get_config()).get_weights())
    if not source.endswith(".weights.h5"):
        model.set_weights(presets.from_preset(source).get_weights())
        return
    with weights_file.safe_copy(source) as file:
        target = model if "backbone" in file.groups else model.backbone
        target.load_weights(file.path)
