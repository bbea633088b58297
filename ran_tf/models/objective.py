"""What a network is trained for: the one definition, for every backend, `fit` and strategy.

    batch -> prepare (augment, mixup, region dropout) -> network
    -> terms (cross-entropy, region biased loss, visibility, registered losses)
    -> total, mean over the batch

In `keras.ops`. The TensorFlow step, the JAX step and `RegionAttentionNetwork.fit` call these.
"""

from keras import ops

from ran_tf import registry
from ran_tf.augment import cover, draws, faces, mixup, region_dropout
from ran_tf.config import ObjectiveConfig
from ran_tf.models import losses


def prepare(inputs: dict, targets, *, config: ObjectiveConfig, bank: dict | None = None) -> dict:
    """What the network is shown of a batch, and what it should say.

    Args:
      inputs: image u8[b, H, W, 3], boxes f32[b, k, 4], mask bool[b, k] (optional), key i32[b] (see
        `augment.draws`; equal keys give equal results), follows bool[b, k] where regions move with
        the face, occlusion i64[b] where a list says what covers faces, landmarks f32[b, 5, 2]
        where drawn occluders shall sit by them.
      targets: f32[b, n].
      config: the objective.
      bank: of `augment.bank.of_objective`, tensors or arrays; may be left out without
        `config.augment.cover`.

    Returns:
      dict: inputs {image f32[b, H, W, 3], boxes, mask, covered f32[b, k], the share of each region
      that something covers}, targets f32[b, n].

    Raises:
      ValueError: for a batch without keys, or for occluders that are to be drawn and no bank.
    """
    if config.augment.cover and not bank:
        raise ValueError(
            "`bank` must be that of `augment.bank.of_objective` when `augment.cover` is not 0. "
            f"Received: bank={bank}"
        )
    if inputs.get("key") is None:
        raise ValueError(
            '`inputs` must have "key", i32[b], which augmentation draws its numbers from: batches '
            f"of `ran_tf.load_dataset` have it. Received: {sorted(inputs)}"
        )
    draw = draws.make_draw(inputs["key"])
    shown = faces.augment(
        inputs["image"],
        inputs["boxes"],
        draw,
        config=config.augment,
        follows=inputs.get("follows"),
        landmarks=inputs.get("landmarks"),
        bank=bank,
    )
    mask = inputs.get("mask")
    shown["mask"] = ops.ones(ops.shape(inputs["boxes"])[:2], "bool") if mask is None else mask
    if inputs.get("occlusion") is not None:
        _, height, width = shown["opacity"].shape
        listed = cover.listed_opacity(inputs["occlusion"], height=height, width=width)
        shown["opacity"] = cover.both(shown["opacity"], listed)
    if config.mixup:
        mixed = mixup.mix(
            shown["image"],
            targets,
            draw("mixup"),
            alpha=config.mixup,
            opacity=shown["opacity"],
        )
        targets = mixed.pop("targets")
        shown |= mixed
    if config.regions_per_step:
        k = shown["boxes"].shape[1]
        shown |= region_dropout.choose_regions(
            shown["boxes"],
            shown["mask"],
            draw("region_dropout", k - 1),
            count=config.regions_per_step,
        )
    shown["covered"] = cover.covered_shares(shown.pop("opacity"), shown["boxes"])
    return {"inputs": shown, "targets": targets}


def terms(outputs: dict, targets, mask, *, config: ObjectiveConfig, covered=None) -> dict:
    """The losses of each face, by name.

    Args:
      outputs: of `RegionAttentionNetwork`.
      targets: f32[b, n].
      mask: bool[b, k] or None.
      config: the objective.
      covered: f32[b, k] of `prepare`, for `config.visibility_weight`.

    Returns:
      dict: cross_entropy, region_loss, with a weight visibility, and the registered losses, each
      f32[b].
    """
    registered = {
        name: registry.LOSSES.find(name)(outputs, targets, mask) for name in _registered(config)
    }
    return {
        "cross_entropy": losses.cross_entropy(
            outputs["logits"], targets, label_smoothing=config.label_smoothing
        ),
        "region_loss": losses.region_biased_loss(outputs["mu"], margin=config.margin, mask=mask),
        **_visibility(outputs, covered, mask, config=config),
        **registered,
    }


def _visibility(outputs: dict, covered, mask, *, config: ObjectiveConfig) -> dict:
    if not config.visibility_weight:
        return {}
    loss = losses.visibility_loss(
        outputs["weights"], covered, kind=config.visibility_loss, mask=mask
    )
    return {"visibility": loss}


def weights(config: ObjectiveConfig) -> dict[str, float]:
    """The weight of each of `terms`."""
    return {
        "cross_entropy": 1.0,
        "region_loss": config.region_loss_weight,
        **({"visibility": config.visibility_weight} if config.visibility_weight else {}),
        **_registered(config),
    }


def total(values: dict, *, config: ObjectiveConfig):
    """The loss, of `terms` or of their means."""
    return sum(weight * values[name] for name, weight in weights(config).items())


def sum_names(config: ObjectiveConfig) -> tuple[str, ...]:
    """What `sums` gives, in this order."""
    return ("faces", *weights(config), "correct")


def sums(outputs: dict, targets, values: dict) -> dict:
    """Sums over the faces of a batch, f32[] each: of these, means over an epoch are made."""
    hits = ops.equal(ops.argmax(outputs["logits"], axis=-1), ops.argmax(targets, axis=-1))
    return {
        "faces": ops.cast(ops.shape(targets)[0], "float32"),
        **{name: ops.sum(value) for name, value in values.items()},
        "correct": ops.sum(ops.cast(hits, "float32")),
    }


def validation_means(sums) -> dict[str, float]:
    """Of f64[3]: faces, those that are right, their cross-entropy."""
    faces, correct, entropy = (float(value) for value in sums)
    faces = max(1.0, faces)
    return {
        "validation_accuracy": correct / faces,
        "validation_cross_entropy": entropy / faces,
    }


def _registered(config: ObjectiveConfig) -> dict[str, float]:
    return registry.LOSSES.with_numbers(config.losses, argument="losses")
