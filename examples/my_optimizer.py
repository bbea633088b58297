"""An update rule of one's own: Lion (Chen et al. 2023, arXiv 2302.06675).

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_optimizer --optimizer=lion --learning_rate=0.0003
"""

import keras

import ran_tf


@ran_tf.register_optimizer("lion")
def lion(config):
    # The loop sets the learning rate of each step by the schedule.
    return keras.optimizers.Lion(config.learning_rate, weight_decay=config.weight_decay)
