"""Depthwise convolution, with a path for JAX on CPUs where XLA's own is slow."""

from __future__ import annotations

import functools

import keras
from keras import ops

from keras_deeplab.ops.device import runs_on_cpu


def depthwise_convolution(images, kernel, strides: int = 1, atrous_rate: int = 1):
    """Convolves every channel with its own kernel, without padding: (b, h, w, c) -> (b, h', w', c).

    XLA's CPU compiler runs grouped convolutions as plain loops. Adding up shifted copies of the images is
    3 to 25 times faster there, and its gradient 2 to 10 times.

    Args:
        images: float tensor `[b, h, w, c]`, already padded.
        kernel: float tensor `[k, k, c, 1]`.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the kernel's taps.

    Returns:
        Tensor `[b, h', w', c]` with `h' = (h - (k - 1) * atrous_rate - 1) // strides + 1`, `w'` alike.

    Example:
    ```python
    depthwise_convolution(keras.ops.ones((1, 9, 9, 16)), keras.ops.ones((3, 3, 16, 1))).shape  # (1, 7, 7, 16)
    ```
    """
    if keras.backend.backend() == "jax" and runs_on_cpu():
        return _jitted_shifted_sum()(images, kernel, strides, atrous_rate)
    return ops.depthwise_conv(
        images, kernel, strides, padding="valid", data_format="channels_last", dilation_rate=atrous_rate
    )


def shifted_sum(images, kernel, strides: int = 1, atrous_rate: int = 1):
    """The same as `depthwise_convolution`, as a sum of shifted copies; needs a static height and width."""
    k = kernel.shape[0]
    _, h, w, _ = images.shape
    extents = [(n - (k - 1) * atrous_rate - 1) // strides * strides + 1 for n in (h, w)]
    total = 0.0
    for row in range(k):
        for column in range(k):
            top, left = row * atrous_rate, column * atrous_rate
            shifted = images[:, top : top + extents[0] : strides, left : left + extents[1] : strides]
            total = total + shifted * kernel[row, column, :, 0]
    return total


@functools.cache
def _jitted_shifted_sum():
    """Outside of a compiled network, JAX would compile every one of the many small steps."""
    import jax

    return jax.jit(shifted_sum, static_argnums=(2, 3))
