"""Batch normalisation with the statistics of all replicas, in TensorFlow's fused kernels.

Keras' own goes over the activations several times, forward and backward. Here each replica takes
the moments of its share in one pass; what crosses between replicas is three numbers a channel
forward and two backward.
"""


def synchronized_norm(inputs, gamma, beta, *, epsilon: float) -> dict:
    """Normalises with the mean and variance of the global batch; call in a replica.

    Args:
      inputs: [b, h, w, c], float32 or bfloat16.
      gamma, beta: f32[c].
      epsilon: added to the variance.

    Returns:
      dict: outputs [b, h, w, c] in the dtype of `inputs`, mean and variance f32[c] of the global
      batch (biased, as Keras keeps it). Only `outputs` has a gradient, and those of `gamma` and
      `beta` are of this replica's share: the optimizer sums them.
    """
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    channels = inputs.shape[-1]

    def all_sum(*values):
        """Sums f32[c] tensors over replicas, in one message."""
        return tf.unstack(context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack(values)))

    local = _local_moments(inputs)
    total, first, second = all_sum(
        tf.fill([channels], local["count"]),
        local["count"] * local["mean"],
        local["count"] * (local["variance"] + local["mean"] ** 2),
    )
    # Constants for the gradient below, which takes their part into account itself.
    mean = tf.stop_gradient(first / total)
    variance = tf.stop_gradient(tf.maximum(second / total - mean**2, 0.0))

    def affine(inputs, scale, offset):
        """scale xhat + offset, in one pass."""
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )[0]

    @tf.custom_gradient
    def normalise(inputs, gamma, beta):
        def gradient(upstream):
            # As if mean and variance were constants, and the sums over this replica's share.
            direct, to_gamma, to_beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=inputs,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
                is_training=False,
            )
            # Mean and variance, functions of every input, take from it
            # gamma / (N std) (sum dy + xhat sum (dy xhat)), with the sums over all replicas.
            sum_dy, sum_dy_xhat = all_sum(to_beta, to_gamma)
            share = gamma / (total * tf.sqrt(variance + epsilon))
            indirect = affine(inputs, share * sum_dy_xhat, share * sum_dy)
            return direct - indirect, to_gamma, to_beta

        return affine(inputs, gamma, beta), gradient

    return {"outputs": normalise(inputs, gamma, beta), "mean": mean, "variance": variance}


def _local_moments(inputs) -> dict:
    """Number of values of a channel, f32[], their mean and biased variance, f32[c]."""
    import tensorflow as tf

    channels = inputs.shape[-1]
    count = tf.cast(tf.size(inputs) // channels, tf.float32)
    _, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.stop_gradient(inputs),
        scale=tf.ones([channels]),
        offset=tf.zeros([channels]),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        is_training=True,
    )
    # The kernel returns the unbiased variance, and no number of one value.
    unbiased = tf.where(count > 1.0, variance, 0.0)
    return {"count": count, "mean": mean, "variance": unbiased * (count - 1.0) / count}
