"""Switchable atrous convolution of DetectoRS (Qiao et al. 2021, arXiv 2006.02334, section 4)."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.batch_norm import BatchNormalization
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.initializers import ScaledNormal
from keras_deeplab.ops.convolution import convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SwitchableAtrousConvolution(keras.layers.Layer):
    """Blends two rates of one kernel pixel by pixel: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), filters).

    Global context -> convolution -> global context -> batch normalisation -> activation. The convolution
    blends the results with rates `r` and `3 r` by a switch computed from the surroundings. Unlike in the
    paper the switch is linear and both rates share the kernel. With a stride there is no switch.

    Args:
        filters: int. Number of output channels.
        kernel_size: int. Side of the square kernel.
        strides: int. Step of the output grid.
        atrous_rate: int. The smaller rate.
        activation: str or `None`. Name of a Keras activation.
        global_context: bool. Add what the means of the image say, before and after the convolution.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.
        gamma_initializer: initializer of the normalisation's scale; `"zeros"` ends residual branches.

    Example:
    ```python
    SwitchableAtrousConvolution(64, 3, activation="relu")(keras.ops.ones((1, 17, 33, 32))).shape
    ```
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        atrous_rate: int = 1,
        activation: str | None = None,
        global_context: bool = True,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        gamma_initializer="ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.atrous_rate = atrous_rate
        self.activation = activation
        self._activation = keras.activations.get(activation)
        self.batch_norm = BatchNormalization(
            momentum=batch_norm_momentum,
            epsilon=batch_norm_epsilon,
            gamma_initializer=gamma_initializer,
            dtype=self.dtype_policy,
            name="batch_norm",
        )
        self.switch = self.pre_global_context = self.post_global_context = None
        if strides == 1:
            self.switch = keras.layers.Conv2D(
                1, 1, kernel_initializer="zeros", dtype=self.dtype_policy, name="switch"
            )
        if global_context:
            self.pre_global_context = GlobalContext(dtype=self.dtype_policy, name="pre_global_context")
            self.post_global_context = GlobalContext(dtype=self.dtype_policy, name="post_global_context")

    def build(self, input_shape):
        output_shape = self.compute_output_shape(input_shape)
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters),
            initializer=ScaledNormal(2.0, fan="in"),
            name="kernel",
        )
        if self.switch is not None:
            self.switch.build(input_shape)
        if self.pre_global_context is not None:
            self.pre_global_context.build(input_shape)
            self.post_global_context.build(output_shape)
        self.batch_norm.build(output_shape)

    def call(self, inputs, training=None):
        x = inputs
        if self.pre_global_context is not None:
            x = self.pre_global_context(x)
        x = self._convolve(x)
        if self.post_global_context is not None:
            x = self.post_global_context(x)
        return self._activation(self.batch_norm(x, training=training))

    def _convolve(self, x):
        if self.switch is None:
            return convolution(x, self.kernel, None, self.strides, self.atrous_rate)
        switch = self.switch(average_of_neighbours(x, 5))
        near, far = (
            convolution(x, self.kernel, atrous_rate=rate) for rate in (self.atrous_rate, 3 * self.atrous_rate)
        )
        return near + switch * (far - near)

    def compute_output_shape(self, input_shape):
        b, h, w, _ = input_shape
        return (b, *(None if n is None else -(-n // self.strides) for n in (h, w)), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "atrous_rate": self.atrous_rate,
            "activation": self.activation,
            "global_context": self.pre_global_context is not None,
            "batch_norm_momentum": self.batch_norm.momentum,
            "batch_norm_epsilon": self.batch_norm.epsilon,
            "gamma_initializer": keras.initializers.serialize(self.batch_norm.gamma_initializer),
        }


@keras.saving.register_keras_serializable(package="keras_deeplab")
class GlobalContext(keras.layers.Layer):
    """Adds a linear function of the image's mean to every pixel: (b, h, w, c) -> (b, h, w, c).

    Example:
    ```python
    GlobalContext()(keras.ops.ones((1, 9, 9, 16))).shape  # (1, 9, 9, 16); nothing is added at first
    ```
    """

    def build(self, input_shape):
        self.convolution = Convolution(
            input_shape[-1],
            batch_norm=False,
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="context",
        )
        self.convolution.build((None, 1, 1, input_shape[-1]))

    def call(self, inputs):
        return inputs + self.convolution(ops.mean(inputs, axis=(1, 2), keepdims=True))

    def compute_output_shape(self, input_shape):
        return input_shape


def average_of_neighbours(images, size: int):
    """Mean over the part of a window that lies inside of the image: (b, h, w, c) -> (b, h, w, c).

    Args:
        images: float tensor `[b, h, w, c]`.
        size: int, odd. Side of the window around each pixel.

    Returns:
        Tensor of the same shape.

    Example:
    ```python
    average_of_neighbours(keras.ops.ones((1, 4, 4, 2)), 5)[0, 0, 0]  # [1., 1.]
    ```
    """
    return ops.average_pool(images, size, strides=1, padding="same", data_format="channels_last")
