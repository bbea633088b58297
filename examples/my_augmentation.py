"""An augmentation of one's own: some faces lose their colour.

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_augmentation --augmentations=grey:0.5
"""

import keras

import ran_tf


@ran_tf.register_augmentation("grey")
def grey(image, draw, amount):
    # The same numbers for the same face and epoch, on any number of devices.
    chosen = (draw("chance") < amount)[:, None, None, None]
    mean = keras.ops.mean(image, axis=-1, keepdims=True)
    return keras.ops.where(chosen, mean, image)
