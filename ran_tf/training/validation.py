"""Accuracy and cross-entropy over the validation split, under any tf.distribute strategy."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ran_tf import losses


def make_evaluate(
    model, *, strategy: tf.distribute.Strategy, batches, stop: Callable[[int], bool]
) -> Callable[[], dict[str, float] | None]:
    """Compiles one pass over the split.

    Args:
      model: the network.
      strategy: that it was made under.
      batches: of `data.pipeline.eval_batches`, distributed.
      stop: asked before every batch, with its number; all workers must be told the same.

    Returns:
      A function that gives validation_accuracy and validation_cross_entropy, or None if `stop` said
      so before the end.
    """

    def replica_sums(batch):
        faces = tf.shape(batch["label"])[0]
        # A last batch may have no face for some replicas, and TensorFlow's convolutions on a CPU
        # get the shape of a batch of none wrong: an empty face stands in and is not counted.
        spare = tf.cast(tf.equal(faces, 0), tf.int32)
        inputs = {name: _with_spare(batch[name], spare) for name in ("image", "boxes", "mask")}
        logits = model(inputs)["logits"][:faces]
        hits = tf.equal(tf.argmax(logits, axis=-1), batch["label"])
        entropy = losses.cross_entropy(logits, tf.one_hot(batch["label"], logits.shape[-1]))
        return tf.stack(
            [
                tf.cast(tf.size(batch["label"]), tf.float32),
                tf.reduce_sum(tf.cast(hits, tf.float32)),
                tf.reduce_sum(entropy),
            ]
        )

    @tf.function(reduce_retracing=True)
    def sums(batch):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(replica_sums, args=(batch,)), axis=None
        )

    def evaluate() -> dict[str, float] | None:
        # For a batch of any size, as the training step: each size's own graph rounds otherwise.
        sums.get_concrete_function(batches.element_spec)
        total = np.zeros(3)
        for number, batch in enumerate(batches):
            if stop(number):
                return None
            total += sums(batch).numpy()
        faces, correct, entropy = total
        faces = max(1.0, faces)
        return {
            "validation_accuracy": correct / faces,
            "validation_cross_entropy": entropy / faces,
        }

    return evaluate


def _with_spare(rows, spare):
    """Rows with `spare`, i32[], more of zeros behind them."""
    return tf.pad(rows, [[0, spare]] + [[0, 0]] * (len(rows.shape) - 1))
