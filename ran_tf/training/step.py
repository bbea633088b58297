"""One training step under any tf.distribute strategy.

Two traps of Keras are avoided here: its SGD decays weights apart from the gradient, while the
recipes mean PyTorch's, which adds the decay to the gradient before momentum; and it clips gradients
before the replicas are summed. Losses are divided by the size of the global batch, so that an
uneven last batch weighs its examples as one device would.
"""

import dataclasses

import keras
import tensorflow as tf

from ran_tf import backend, losses
from ran_tf.config import OptimizerConfig, TrainConfig, unknown
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import augment, mixup, region_dropout, update

# Sums over the faces of a batch that a step returns.
SUMS = ("faces", "cross_entropy", "region_loss", "correct")


@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a step changes.

    Attributes:
      model: the network that is trained.
      ema: a twin whose weights are the moving average of the model's, or the model itself.
      optimizer: its optimizer.
    """

    model: RegionAttentionNetwork
    ema: RegionAttentionNetwork
    optimizer: keras.optimizers.Optimizer


def create_state(
    model_arguments: dict, *, optimizer: OptimizerConfig, freeze: str = ""
) -> TrainState:
    """A new model, its EMA twin with equal weights, and a built optimizer (call in a scope).

    Args:
      model_arguments: of `RegionAttentionNetwork`.
      optimizer: the update rule.
      freeze: last backbone layer that is not trained; "" trains all.

    Raises:
      ValueError: for a layer that the backbone does not have.
    """
    backend.require_tensorflow()
    model = RegionAttentionNetwork(**model_arguments)
    if freeze:
        _freeze(model.backbone, last=freeze)
    ema = model
    if optimizer.ema > 0:
        ema = model.twin()
        ema.trainable = False
    keras_optimizer = _make_optimizer(model, config=optimizer)
    keras_optimizer.build(model.trainable_variables)
    return TrainState(model=model, ema=ema, optimizer=keras_optimizer)


def _freeze(backbone, *, last: str) -> None:
    names = [layer.name for layer in backbone.layers]
    if last not in names:
        raise ValueError(
            f"`freeze` must be one of the backbone's layers {names}. Received: {last!r}"
        )
    for layer in backbone.layers[: names.index(last) + 1]:
        layer.trainable = False


def _make_optimizer(model, *, config: OptimizerConfig):
    if config.name == "sgd":
        # Weight decay is added to the gradients in the step.
        return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum)
    if config.name != "adamw":
        raise unknown("optimizer.name", config.name)
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if not update.is_decayed(v)]
    )
    return optimizer


def num_draws(config: TrainConfig) -> int:
    """Uniform numbers that a step needs of each face: for augmentation, region dropout, mixup."""
    return augment.NUM_DRAWS + config.data.regions.k - 1 + bool(config.mixup)


def make_train_step(state: TrainState, *, config: TrainConfig, strategy: tf.distribute.Strategy):
    """Compiles `step(batch, number) -> {name: f32[]}`, the sums `SUMS` over the global batch.

    `number` is the step's number, i64[]; the batch is distributed by `strategy`. The learning rate
    is read from the optimizer.
    """

    def replica_step(batch):
        inputs = augment.augment(
            batch["image"],
            batch["boxes"],
            batch["draws"],
            config=config.augment,
            move_boxes=config.data.regions.kind == "landmarks",
        )
        inputs["mask"], targets = batch["mask"], batch["labels"]
        if config.mixup:
            mixed = mixup.mix(inputs["image"], targets, batch["draws"][:, -1], alpha=config.mixup)
            inputs["image"], targets = mixed["image"], mixed["targets"]
        if config.regions_per_step:
            last = augment.NUM_DRAWS + inputs["boxes"].shape[1] - 1
            inputs |= region_dropout.choose_regions(
                inputs["boxes"],
                inputs["mask"],
                batch["draws"][:, augment.NUM_DRAWS : last],
                count=config.regions_per_step,
            )
        context = tf.distribute.get_replica_context()
        local = tf.cast(tf.shape(targets)[0], tf.float32)
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, local)
        with tf.GradientTape() as tape:
            outputs = state.model(inputs, training=True)
            entropy = losses.cross_entropy(
                outputs["logits"], targets, label_smoothing=config.label_smoothing
            )
            region = losses.region_biased_loss(
                outputs["mu"], margin=config.margin, mask=inputs["mask"]
            )
            per_face = entropy + config.region_loss_weight * region
            loss = tf.reduce_sum(per_face) / total
        variables = state.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        _apply(gradients, variables, context=context)
        hits = tf.equal(tf.argmax(outputs["logits"], axis=-1), tf.argmax(targets, axis=-1))
        return {
            "faces": local,
            "cross_entropy": tf.reduce_sum(entropy),
            "region_loss": tf.reduce_sum(region),
            "correct": tf.reduce_sum(tf.cast(hits, tf.float32)),
        }

    def _apply(gradients, variables, *, context):
        replicas = context.num_replicas_in_sync
        gradients = [_dense(g, v) for g, v in zip(gradients, variables, strict=True)]
        if config.optimizer.clip_norm:
            # The optimizer sums over replicas once more: hence the division.
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, config.optimizer.clip_norm)
            gradients = [g / replicas for g in gradients]
        if config.optimizer.name == "sgd" and config.optimizer.weight_decay:
            decay = config.optimizer.weight_decay / replicas
            gradients = [
                g + decay * v if update.is_decayed(v) else g
                for g, v in zip(gradients, variables, strict=True)
            ]
        state.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _update_ema(number):
        keep = update.averaging_decay(number, ema=config.optimizer.ema)
        for mean, value in zip(state.ema.weights, state.model.weights, strict=True):
            if value.dtype.startswith("float"):
                mean.assign(mean + (1.0 - keep) * (value - mean))
            else:
                mean.assign(value)

    # The last batch of an epoch is smaller: without relaxed shapes it would be traced again.
    @tf.function(reduce_retracing=True)
    def step(batch, number):
        sums = strategy.run(replica_step, args=(batch,))
        if state.ema is not state.model:
            _update_ema(number)
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, sums[name], axis=None)
            for name in SUMS
        }

    return step


def _dense(gradient, variable):
    """Weights without a gradient (with one region the attention has none) do not move."""
    return tf.zeros_like(variable) if gradient is None else gradient
