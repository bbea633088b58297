"""A loss of one's own: the entropy of the weights, so that few regions speak for a face.

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_loss --losses=entropy:0.1
"""

import keras

import ran_tf


@ran_tf.register_loss("entropy")
def entropy(outputs, targets, mask):
    weights = outputs["weights"]
    return -keras.ops.sum(weights * keras.ops.log(weights + 1e-6), axis=-1)
