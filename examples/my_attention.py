"""An attention of one's own: a region weighs as much as its features are long, to a learned power.

python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=run \
    --import=examples.my_attention --attention=length
"""

import keras

import ran_tf


@ran_tf.register_attention("length")
class Length(keras.layers.Layer):
    """f32[b, k, d] -> f32[b, k]."""

    def build(self, features_shape):
        self.power = self.add_weight(shape=(), initializer="ones", name="power")

    def call(self, features, region_mask=None):
        squares = keras.ops.mean(keras.ops.square(features), axis=-1)
        return (squares + 1e-6) ** (self.power / 2)
