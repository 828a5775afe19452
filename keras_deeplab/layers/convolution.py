"""Convolution, batch normalisation and activation as one layer, with DeepLab's symmetric padding.

A strided convolution pads both sides alike whatever the input's parity, so that samples stay aligned
with the image's corners; the framework's "same" padding would not. (DeepLab2's `Conv2DSame`.)
"""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.batch_norm import BatchNormalization
from keras_deeplab.layers.initializers import ScaledNormal
from keras_deeplab.ops.convolution import convolution, scaled_convolution
from keras_deeplab.ops.depthwise import depthwise_convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class Convolution(keras.layers.Layer):
    """Convolution -> batch normalisation -> activation: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), filters).

    Args:
        filters: int. Number of output channels.
        kernel_size: int. Side of the square kernel.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the kernel's taps.
        activation: str or `None`. Name of a Keras activation.
        batch_norm: bool. Normalise the output; the convolution then has no bias.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.
        gamma_initializer: initializer of the normalisation's scale; `"zeros"` ends residual branches.
        kernel_initializer: initializer of the kernel; He's normal numbers when `None`.

    Example:
    ```python
    Convolution(64, kernel_size=3, strides=2, activation="relu")(keras.ops.ones((1, 65, 65, 3))).shape
    ```
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        atrous_rate: int = 1,
        activation: str | None = None,
        batch_norm: bool = True,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        gamma_initializer="ones",
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.atrous_rate = atrous_rate
        self.activation = activation
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.kernel_initializer = keras.initializers.get(kernel_initializer) or ScaledNormal(2.0, fan="in")
        self.convolution = self._make_convolution(use_bias=not batch_norm)
        self.batch_norm = None
        if batch_norm:
            self.batch_norm = BatchNormalization(
                momentum=batch_norm_momentum,
                epsilon=batch_norm_epsilon,
                gamma_initializer=self.gamma_initializer,
                dtype=self.dtype_policy,
                name="batch_norm",
            )
        self._activation = keras.activations.get(activation)

    def _make_convolution(self, use_bias):
        return _Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            dilation_rate=self.atrous_rate,
            use_bias=use_bias,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape):
        self.convolution.build(input_shape)
        if self.batch_norm is not None:
            self.batch_norm.build(self.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        if self.batch_norm is None:
            x = self.convolution(inputs)
        elif self.batch_norm.uses_batch_moments(training):
            x = self.batch_norm(self.convolution(inputs), training=training)
        else:
            # Scaling the kernel in place of the output saves a pass over memory.
            x = self.convolution.call_scaled(inputs, *self.batch_norm.scale_and_shift())
        return self._activation(x)

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
            "batch_norm": self.batch_norm is not None,
            "batch_norm_momentum": self.batch_norm_momentum,
            "batch_norm_epsilon": self.batch_norm_epsilon,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="keras_deeplab")
class DepthwiseConvolution(Convolution):
    """Like `Convolution`, with one kernel per channel: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), c).

    Args:
        kernel_size: int. Side of the square kernel.
        **kwargs: as for `Convolution`, without `filters`.

    Example:
    ```python
    DepthwiseConvolution(5, activation="relu")(keras.ops.ones((1, 33, 33, 64))).shape
    ```
    """

    def __init__(self, kernel_size: int, kernel_initializer=None, **kwargs):
        kernel_initializer = kernel_initializer or ScaledNormal(1.0, fan="average")
        super().__init__(None, kernel_size, kernel_initializer=kernel_initializer, **kwargs)

    def _make_convolution(self, use_bias):
        return _DepthwiseConv2D(
            self.kernel_size,
            strides=self.strides,
            dilation_rate=self.atrous_rate,
            use_bias=use_bias,
            depthwise_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="depthwise_conv",
        )

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape)[:3], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        del config["filters"]
        return config


class _Conv2D(keras.layers.Conv2D):
    """Keras' layer and weights around our operation, which pads by itself."""

    def build(self, input_shape):
        # Keras refuses kernels that are larger than the input, which it does not see padded.
        super().build((*(None for _ in input_shape[:-1]), input_shape[-1]))

    def call(self, inputs):
        bias = self.bias if self.use_bias else None
        return convolution(inputs, self.kernel, bias, self.strides[0], self.dilation_rate[0])

    def call_scaled(self, inputs, scale, shift):
        """The convolution without bias, times `scale` plus `shift`, both (filters,)."""
        return scaled_convolution(inputs, self.kernel, scale, shift, self.strides[0], self.dilation_rate[0])


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """The same for one kernel per channel."""

    def build(self, input_shape):
        super().build((*(None for _ in input_shape[:-1]), input_shape[-1]))

    def call(self, inputs):
        return self._convolve(inputs, self.kernel, self.bias if self.use_bias else None)

    def call_scaled(self, inputs, scale, shift):
        """The convolution without bias, times `scale` plus `shift`, both (channels,)."""
        return self._convolve(inputs, ops.multiply(self.kernel, scale[:, None]), shift)

    def _convolve(self, inputs, kernel, bias):
        dtype = self.compute_dtype
        x = depthwise_convolution(inputs, ops.cast(kernel, dtype), self.strides[0], self.dilation_rate[0])
        return x if bias is None else x + ops.cast(bias, dtype)


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SeparableConvolution(keras.layers.Layer):
    """Depthwise then pointwise convolution, each with normalisation and activation.

    (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), filters)

    Args:
        filters: int. Number of output channels.
        kernel_size: int. Side of the depthwise kernel.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the depthwise kernel's taps.
        activation: str or `None`. Applied after both halves.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    SeparableConvolution(256, kernel_size=5, activation="relu")(keras.ops.ones((1, 33, 33, 320))).shape
    ```
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        atrous_rate: int = 1,
        activation: str | None = None,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "atrous_rate": atrous_rate,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        shared = {
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.depthwise = DepthwiseConvolution(
            kernel_size, strides=strides, atrous_rate=atrous_rate, name="depthwise", **shared
        )
        self.pointwise = Convolution(filters, name="pointwise", **shared)

    def build(self, input_shape):
        self.depthwise.build(input_shape)
        self.pointwise.build(self.depthwise.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def compute_output_shape(self, input_shape):
        return self.pointwise.compute_output_shape(self.depthwise.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), **self.options}
