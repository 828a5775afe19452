"""The first convolutions of a residual network, where they are more than one."""

from __future__ import annotations

import keras

from keras_deeplab.layers.convolution import Convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class InceptionStem(keras.layers.Layer):
    """Three 3x3 convolutions, the first strided: (b, h, w, c) -> (b, ceil(h/2), ceil(w/2), 2 * filters).

    The output is unactivated, since the blocks activate their input. Takes the place of ResNet's 7x7
    convolution in ResNet-50-beta (Szegedy et al. 2016, arXiv 1602.07261, as used by Chen et al. 2018,
    arXiv 1802.02611).

    Args:
        filters: int. Channels of the first two convolutions; the last has twice as many.
        activation: str. Activation after the first two convolutions.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    InceptionStem(64)(keras.ops.ones((1, 129, 257, 3))).shape  # (1, 65, 129, 128)
    ```
    """

    def __init__(
        self,
        filters: int = 64,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        shared = {
            "kernel_size": 3,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.convolutions = [
            Convolution(filters, strides=2, activation=activation, name="conv1", **shared),
            Convolution(filters, activation=activation, name="conv2", **shared),
            Convolution(2 * filters, name="conv3", **shared),
        ]

    def build(self, input_shape):
        for layer in self.convolutions:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        for layer in self.convolutions:
            inputs = layer(inputs, training=training)
        return inputs

    def compute_output_shape(self, input_shape):
        for layer in self.convolutions:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        return {**super().get_config(), **self.options}
