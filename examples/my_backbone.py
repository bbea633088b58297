"""A backbone of one's own: three convolutions.

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_backbone --backbone=three_convolutions --region_size=32
"""

import keras

import ran_tf


@ran_tf.register_backbone("three_convolutions")
def three_convolutions(pixels, *, synchronized):
    x = pixels / 255.0
    for i, filters in enumerate((16, 32, 64)):
        x = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False, name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, synchronized=synchronized, name=f"bn{i}")(
            x
        )
        x = keras.layers.ReLU(name=f"relu{i}")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool")(x)
