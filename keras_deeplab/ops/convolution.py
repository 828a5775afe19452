"""Convolutions padded alike on both sides, each in the way that its backend computes fastest."""

from __future__ import annotations

import functools

import keras
from keras import ops

from keras_deeplab.ops.device import runs_on_cpu
from keras_deeplab.ops.kernel_gradient import kernel_gradient, with_kernel_gradient


def convolution(images, kernel, bias=None, strides: int = 1, atrous_rate: int = 1):
    """Convolution whose output lies on the input's grid: images (b, h, w, c) -> (b, h', w', f).

    Zeros around the image keep its size, or with strides `ceil(size / strides)`: `(k - 1) * atrous_rate` of
    them, half in front, whatever the size's parity. The framework's own "same" padding depends on it.

    Args:
        images: float tensor `[b, h, w, c]`.
        kernel: float tensor `[k, k, c, f]`.
        bias: float tensor `[f]` or `None`.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the kernel's taps.

    Returns:
        Tensor `[b, ceil(h / strides), ceil(w / strides), f]`.

    Example:
    ```python
    convolution(keras.ops.ones((1, 8, 8, 3)), keras.ops.ones((3, 3, 3, 16)), strides=2).shape  # (1, 4, 4, 16)
    ```
    """
    images, kernel = ops.convert_to_tensor(images), ops.convert_to_tensor(kernel)
    bias = None if bias is None else ops.convert_to_tensor(bias)
    if keras.backend.backend() == "torch":
        return _torch(images, kernel, bias, strides, atrous_rate)
    convolve = functools.partial(_convolve, strides=strides, atrous_rate=atrous_rate)
    if keras.backend.backend() == "jax" and runs_on_cpu():
        gradient = functools.partial(kernel_gradient, strides=strides, atrous_rate=atrous_rate)
        convolve = with_kernel_gradient(convolve, gradient)
    x = convolve(images, kernel)
    return x if bias is None else x + bias


def scaled_convolution(images, kernel, scale, shift, strides: int = 1, atrous_rate: int = 1):
    """`convolution(images, kernel) * scale + shift`: images (b, h, w, c) -> (b, h', w', f).

    On torch, scaling the kernel in place of the output saves passes over memory; the other backends'
    compilers merge them with the next operation.

    Args:
        images: float tensor `[b, h, w, c]`.
        kernel: float tensor `[k, k, c, f]`.
        scale: float32 tensor `[f]`.
        shift: float32 tensor `[f]`.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the kernel's taps.

    Returns:
        Tensor `[b, ceil(h / strides), ceil(w / strides), f]` in the dtype of the images.
    """
    dtype = keras.backend.standardize_dtype(images.dtype)
    if keras.backend.backend() == "torch":
        kernel = ops.cast(ops.multiply(kernel, scale), dtype)
        return convolution(images, kernel, ops.cast(shift, dtype), strides, atrous_rate)
    x = convolution(images, ops.cast(kernel, dtype), None, strides, atrous_rate)
    return ops.cast(ops.cast(x, "float32") * scale + shift, dtype)


def padded_convolution(images, kernel, bias=None, strides: int = 1, atrous_rate: int = 1):
    """The same as `convolution`, of Keras' own operations."""
    padding = "same"
    if strides > 1:
        images, padding = pad_evenly(images, kernel.shape[0], atrous_rate), "valid"
    x = ops.conv(images, kernel, strides, padding, "channels_last", dilation_rate=atrous_rate)
    return x if bias is None else x + bias


def shifted_products(images, kernel, bias=None, atrous_rate: int = 1):
    """The same as `convolution` without strides, as a sum of matrix products with the part of the image that
    each tap of the kernel sees.

    Wide rates on small maps have taps that see mostly padding, which other ways multiply all the same.
    Needs an odd kernel and a static height and width.
    """
    k = kernel.shape[0]
    _, h, w, _ = images.shape
    total = 0.0 if bias is None else bias
    for row in range(k):
        for column in range(k):
            down, right = ((tap - k // 2) * atrous_rate for tap in (row, column))
            if abs(down) >= h or abs(right) >= w:
                continue
            (y, y_after), (x, x_after) = ((max(0, -n), max(0, n)) for n in (down, right))
            seen = images[:, y_after : h - y, x_after : w - x]
            product = ops.matmul(seen, kernel[row, column])
            total = total + ops.pad(product, [(0, 0), (y, y_after), (x, x_after), (0, 0)])
    return total


def pad_evenly(images, kernel_size: int, atrous_rate: int = 1):
    """Zero padding before a "valid" convolution: (b, h, w, c) -> (b, h + p, w + p, c).

    Args:
        images: tensor `[b, h, w, c]`.
        kernel_size: int. Side of the kernel.
        atrous_rate: int. Spacing of the kernel's taps.

    Returns:
        Padded tensor, `p = (kernel_size - 1) * atrous_rate`, half of it (rounded down) in front.

    Example:
    ```python
    pad_evenly(keras.ops.ones((1, 8, 8, 3)), kernel_size=3).shape  # (1, 10, 10, 3)
    ```
    """
    total = (kernel_size - 1) * atrous_rate
    if total == 0:
        return images
    side = (total // 2, total - total // 2)
    return ops.pad(images, [(0, 0), side, side, (0, 0)])


def _share_of_image(images, kernel_size, atrous_rate):
    """How much of what the kernel's taps see is image and not padding; 1 if the sizes are not known."""
    h, w = images.shape[1:3]
    if kernel_size % 2 == 0 or not (isinstance(h, int) and isinstance(w, int)):
        return 1.0
    distances = [abs(tap - kernel_size // 2) * atrous_rate for tap in range(kernel_size)]
    seen = [sum(max(0, n - distance) for distance in distances) / (n * kernel_size) for n in (h, w)]
    return seen[0] * seen[1]


def _convolve(images, kernel, strides, atrous_rate):
    """The way that is fastest on TensorFlow and JAX."""
    if keras.backend.backend() == "jax" and kernel.shape[0] == 1:
        return ops.matmul(images[:, ::strides, ::strides], kernel[0, 0])
    if strides == 1 and runs_on_cpu() and _share_of_image(images, kernel.shape[0], atrous_rate) < 0.7:
        return shifted_products(images, kernel, None, atrous_rate)
    return padded_convolution(images, kernel, None, strides, atrous_rate)


def _torch(images, kernel, bias, strides, atrous_rate):
    """Views in place of the copies between layouts that Keras' convolution makes around torch's."""
    from torch.nn import functional

    if kernel.shape[0] == 1 and strides > 1:
        # Of few channels oneDNN's way writes beyond its memory (its issue 6035) and may end the process.
        images, strides = images[:, ::strides, ::strides], 1
    total = (kernel.shape[0] - 1) * atrous_rate
    if total % 2:
        images, total = pad_evenly(images, kernel.shape[0], atrous_rate), 0
    x = functional.conv2d(
        images.permute(0, 3, 1, 2), _as_torch_kernel(kernel), bias, strides, total // 2, atrous_rate
    )
    return x.permute(0, 2, 3, 1)


def _as_torch_kernel(kernel):
    """(k, k, c, f) -> (f, c, k, k) in the memory order of channels-last images, transposed in one piece."""
    k, _, c, f = kernel.shape
    return kernel.reshape(-1, f).t().contiguous().reshape(f, k, k, c).permute(0, 3, 1, 2)
