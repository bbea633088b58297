"""Training under tf.distribute: augmentation, schedule, step, loop, checkpoints."""
