"""Residual blocks that keep their features unactivated between blocks."""

from __future__ import annotations

import keras

from keras_deeplab.layers.convolution import Convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class BottleneckBlock(keras.layers.Layer):
    """1x1, 3x3, 1x1 convolutions beside a shortcut: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), 4 * filters).

    The block activates its input and leaves its output unactivated, so the next block (or whoever
    consumes the features) applies the activation (He et al. 2016, arXiv 1512.03385, figure 5, with the
    last activation moved to the consumer).

    Args:
        filters: int. Channels of the two inner convolutions; the output has four times as many.
        strides: int. Step of the 3x3 convolution and of the shortcut.
        atrous_rate: int. Rate of the 3x3 convolution.
        activation: str. Name of a Keras activation.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    BottleneckBlock(64, strides=2)(keras.ops.ones((1, 65, 65, 64))).shape  # (1, 33, 33, 256)
    ```
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        atrous_rate: int = 1,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.atrous_rate = atrous_rate
        self.activation = activation
        self._shared = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self._activation = keras.activations.get(activation)
        self.conv1 = Convolution(filters, activation=activation, name="conv1", **self._shared)
        self.conv2 = Convolution(
            filters, 3, strides, atrous_rate, activation=activation, name="conv2", **self._shared
        )
        self.conv3 = Convolution(4 * filters, gamma_initializer="zeros", name="conv3", **self._shared)
        self.shortcut = None

    def build(self, input_shape):
        if input_shape[-1] != 4 * self.filters:
            self.shortcut = Convolution(
                4 * self.filters, strides=self.strides, name="shortcut", **self._shared
            )
            self.shortcut.build(input_shape)
        for layer in (self.conv1, self.conv2, self.conv3):
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        x = self._activation(inputs)
        if self.shortcut is not None:
            shortcut = self.shortcut(x, training=training)
        else:
            shortcut = x[:, :: self.strides, :: self.strides]
        for layer in (self.conv1, self.conv2, self.conv3):
            x = layer(x, training=training)
        return x + shortcut

    def compute_output_shape(self, input_shape):
        b, h, w, _ = input_shape
        return (b, *(None if n is None else -(-n // self.strides) for n in (h, w)), 4 * self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "atrous_rate": self.atrous_rate,
            "activation": self.activation,
            "batch_norm_momentum": self._shared["batch_norm_momentum"],
            "batch_norm_epsilon": self._shared["batch_norm_epsilon"],
        }
