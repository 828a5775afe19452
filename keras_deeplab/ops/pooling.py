"""Averages over windows that fit any image."""

from __future__ import annotations

from keras import ops


def sliding_mean(images, window):
    """Means over all windows inside the images: (b, h, w, c) -> (b, h', w', c).

    Args:
        images: float tensor `[b, h, w, c]`. Height and width may be unknown until run time.
        window: pair of int. Size of the window; where the image is smaller, the window shrinks to it.

    Returns:
        Tensor `[b, max(h - window[0], 0) + 1, max(w - window[1], 0) + 1, c]` of the same dtype.

    Example:
    ```python
    sliding_mean(keras.ops.ones((1, 5, 7, 3)), (2, 9)).shape  # (1, 4, 1, 3)
    ```
    """
    size = tuple(images.shape[1:3])
    if None in size:
        return sliding_mean_by_sums(images, window)
    # In half precision TensorFlow's and JAX's own pooling adds up in half precision.
    means = ops.cast(images, "float32")
    if all(length >= n for length, n in zip(window, size, strict=True)):
        means = ops.mean(means, axis=(1, 2), keepdims=True)
    else:
        window = tuple(min(length, n) for length, n in zip(window, size, strict=True))
        means = ops.average_pool(means, window, strides=1, padding="valid", data_format="channels_last")
    return ops.cast(means, images.dtype)


def sliding_mean_by_sums(images, window):
    """The same as `sliding_mean`, as differences of running sums, which take any size at run time."""
    means = ops.cast(images, "float32")
    for axis, length in zip((1, 2), window, strict=True):
        before = (slice(None),) * axis
        n = ops.shape(means)[axis]
        length = ops.minimum(length, n)
        front = [(int(a == axis), 0) for a in range(4)]
        sums = ops.pad(ops.cumsum(means, axis=axis), front)
        sums = sums[(*before, slice(length, None))] - sums[(*before, slice(None, n - length + 1))]
        means = sums / ops.cast(length, "float32")
    return ops.cast(means, images.dtype)
