"""The gradient of a convolution's kernel as matrix products, for JAX on CPUs."""

from __future__ import annotations

from keras import ops


def with_kernel_gradient(convolve, kernel_gradient):
    """Wraps a convolution on JAX so that its kernel's gradient is computed by a function.

    XLA's CPU compiler computes this gradient as a convolution with a kernel as large as the image, up to
    15 times slower. What is wrapped can be differentiated backwards only.

    Args:
        convolve: function of images `[b, h, w, c]` and a kernel `[k, k, c, f]`.
        kernel_gradient: function of the images, the gradient of the output, and k.

    Returns:
        A function with the same results and gradients.
    """
    import jax

    convolution = jax.custom_vjp(convolve)

    def forward(images, kernel):
        return convolve(images, kernel), (images, kernel)

    def backward(inputs, gradient):
        images, kernel = inputs
        _, of_images = jax.vjp(lambda x: convolve(x, kernel), images)
        of_kernel = kernel_gradient(images, gradient, kernel.shape[0])
        return *of_images(gradient), ops.cast(of_kernel, kernel.dtype)

    convolution.defvjp(forward, backward)
    return convolution


def kernel_gradient(images, gradient, kernel_size: int, strides: int = 1, atrous_rate: int = 1):
    """Gradient of an evenly padded convolution's kernel: (b, h, w, c), (b, h', w', f) -> (k, k, c, f).

    Args:
        images: float tensor `[b, h, w, c]`, the convolution's input.
        gradient: float tensor `[b, ceil(h / strides), ceil(w / strides), f]`, its output's gradient.
        kernel_size: int. Side of the kernel.
        strides: int. Step of the output grid.
        atrous_rate: int. Spacing of the kernel's taps.

    Returns:
        Tensor `[k, k, c, f]`.
    """
    channels, filters = images.shape[-1], gradient.shape[-1]
    if channels < 16:
        of_kernel = _product_of_patches(images, gradient, kernel_size, strides, atrous_rate)
    else:
        of_kernel = _products_of_taps(images, gradient, kernel_size, strides, atrous_rate)
    return ops.reshape(of_kernel, (kernel_size, kernel_size, channels, filters))


def _product_of_patches(images, gradient, kernel_size, strides, atrous_rate):
    """One product for all taps, whose own ones would be slow with few channels."""
    total = (kernel_size - 1) * atrous_rate
    side = (total // 2, total - total // 2)
    images = ops.pad(images, [(0, 0), side, side, (0, 0)])
    rows, columns = (
        [
            slice(tap * atrous_rate, tap * atrous_rate + (n - 1) * strides + 1, strides)
            for tap in range(kernel_size)
        ]
        for n in gradient.shape[1:3]
    )
    patches = ops.concatenate([images[:, row, column] for row in rows for column in columns], axis=-1)
    return _product(patches, gradient)


def _products_of_taps(images, gradient, kernel_size, strides, atrous_rate):
    """For every tap, the product of the pixels that it sees with the gradients of the outputs they go to."""
    front = (kernel_size - 1) * atrous_rate // 2
    shifts = [tap * atrous_rate - front for tap in range(kernel_size)]
    rows, columns = ([_seen(shift, n, strides) for shift in shifts] for n in images.shape[1:3])
    return ops.stack(
        [
            _product(images[:, seen_rows, seen_columns], gradient[:, of_rows, of_columns])
            for seen_rows, of_rows in rows
            for seen_columns, of_columns in columns
        ]
    )


def _product(x, y):
    """(..., c), (..., f) -> (c, f)."""
    return ops.matmul(ops.transpose(ops.reshape(x, (-1, x.shape[-1]))), ops.reshape(y, (-1, y.shape[-1])))


def _seen(shift, size, strides):
    """Slices of the pixels `strides * output + shift` inside the image, and of those outputs."""
    first = max(0, -(shift // strides))
    last = min(-(-size // strides) - 1, (size - 1 - shift) // strides)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * strides + shift
    return slice(start, last * strides + shift + 1, strides), slice(first, last + 1)
