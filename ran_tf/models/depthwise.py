"""Depthwise convolution, with a stride too as fast in bfloat16 as it can be."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("ran_tf")
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras' own, but for the bfloat16 gradient with a stride: in float32 on TensorFlow.

    oneDNN has no bfloat16 gradient of a strided depthwise convolution, and TensorFlow's own is 15
    times slower than float32's (measured). Forward it has one, 2.7 times faster than float32 with
    casts around it. Called as Keras' own, since weights files name layers by their class.

    Input and output: [b, h, w, c] in the compute dtype.
    """

    def call(self, inputs, training=None):
        on_tensorflow = keras.backend.backend() == "tensorflow"
        slow = on_tensorflow and self.compute_dtype == "bfloat16" and self.strides[0] > 1
        # Without training no custom gradient: its nodes would part convolution and normalisation,
        # which an export folds into one.
        if not (training and slow):
            return super().call(inputs)
        outputs = _convolve(
            inputs, self.kernel, stride=self.strides[0], padding=self.padding.upper()
        )
        return self.activation(outputs if self.bias is None else outputs + self.bias)


def _convolve(inputs, kernel, *, stride: int, padding: str):
    import tensorflow as tf

    how = {"strides": [1, stride, stride, 1], "padding": padding}

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            x, w, dy = (tf.cast(value, tf.float32) for value in (inputs, kernel, upstream))
            to_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x), filter=w, out_backprop=dy, **how
            )
            to_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=tf.shape(w), out_backprop=dy, **how
            )
            return tf.cast(to_inputs, inputs.dtype), tf.cast(to_kernel, kernel.dtype)

        return tf.raw_ops.DepthwiseConv2dNative(input=inputs, filter=kernel, **how), gradient

    return convolve(inputs, tf.cast(kernel, inputs.dtype))
