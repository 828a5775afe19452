"""Resizing whose corner samples stay in place (`align_corners`), as all DeepLab models do it.

`keras.ops.image.resize` samples at half-pixel centres and cannot express this. With sides of the form
`k * output_stride + 1` the first and last sample of every stride fall on the image's corners.
"""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.ops.device import runs_on_cpu

# Torch's own resizing handles channels together: with fewer than these, two blends are as fast or faster.
_CHANNELS_FOR_TORCH = 8


def scale_dimension(size: int, scale: float) -> int:
    """The length of a side after scaling with its corners kept: `int((size - 1) * scale + 1)`.

    Args:
        size: int. Number of samples.
        scale: float. Factor, e.g. `1 / output_stride`.

    Returns:
        int.

    Example:
    ```python
    scale_dimension(1025, 1 / 16)  # 65
    ```
    """
    return int((size - 1) * scale + 1)


def resize_bilinear(images, size):
    """Bilinear resizing with aligned corners: images (b, h, w, c) -> (b, *size, c).

    Whole-number enlargements with static shapes (every upsampling inside the models) are computed by
    blending neighbours directly; their gradients need no scatter. Other sizes gather and blend. Torch has a
    routine of its own for processors.

    Args:
        images: float tensor `[b, h, w, c]`.
        size: pair of int, or of scalar integer tensors for sizes only known at run time.

    Returns:
        Tensor `[b, size[0], size[1], c]` of the same dtype.

    Example:
    ```python
    resize_bilinear(keras.ops.ones((1, 33, 65, 19)), (129, 257))
    ```
    """
    images = ops.convert_to_tensor(images)
    if keras.backend.backend() == "torch" and images.shape[-1] >= _CHANNELS_FOR_TORCH and runs_on_cpu():
        return _torch(images, size)
    return blend_bilinear(images, size)


def blend_bilinear(images, size):
    """The same as `resize_bilinear`, of Keras' own operations, an axis after the other."""
    for axis, length in ((1, size[0]), (2, size[1])):
        images = _resize_axis(images, length, axis)
    return images


def resize_nearest(images, size):
    """Nearest-neighbour resizing with aligned corners: images (b, h, w, ...) -> (b, *size, ...).

    Positions half-way between two samples take the higher one, as TensorFlow 1 rounds.

    Args:
        images: tensor `[b, h, w]` or `[b, h, w, c]` of any dtype.
        size: pair of int or of scalar integer tensors.

    Returns:
        Tensor of the same rank and dtype with the new size.

    Example:
    ```python
    resize_nearest(keras.ops.ones((1, 129, 257), "int32"), (65, 129))
    ```
    """
    images = ops.convert_to_tensor(images)
    for axis, length in ((1, size[0]), (2, size[1])):
        if _is_same(images.shape[axis], length):
            continue
        position = _positions(ops.shape(images)[axis], length)
        images = ops.take(images, ops.cast(ops.floor(position + 0.5), "int32"), axis=axis)
    return images


def resize_offsets(offsets, size):
    """Resizes a field of pixel displacements and rescales its values: (b, h, w, 2) -> (b, *size, 2).

    Args:
        offsets: float tensor `[b, h, w, 2]`, displacements (y, x) in pixels of the `h` x `w` grid.
        size: pair of int or of scalar integer tensors.

    Returns:
        Tensor `[b, size[0], size[1], 2]`, displacements in pixels of the new grid.

    Example:
    ```python
    resize_offsets(keras.ops.ones((1, 33, 65, 2)), (129, 257))[0, 0, 0]  # [4., 4.]
    ```
    """
    offsets = ops.convert_to_tensor(offsets)
    _, h, w, _ = ops.shape(offsets)
    scale = [_extent(length) / _extent(n) for length, n in zip(size, (h, w), strict=True)]
    return resize_bilinear(offsets * ops.cast(ops.stack(scale), offsets.dtype), size)


def _torch(images, size):
    """One pass in place of several; a third of the time for 19 channels, with or without gradients."""
    from torch.nn import functional

    size = tuple(int(length) for length in size)
    if tuple(images.shape[1:3]) == size:
        return images
    x = functional.interpolate(images.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
    return x.permute(0, 2, 3, 1)


def _resize_axis(images, length, axis):
    n = images.shape[axis]
    if _is_same(n, length):
        return images
    if isinstance(n, int) and isinstance(length, int) and 1 < n < length and (length - 1) % (n - 1) == 0:
        return _enlarge_axis(images, (length - 1) // (n - 1), axis)
    return _blend_axis(images, length, axis)


def _enlarge_axis(images, factor, axis):
    n = images.shape[axis]
    shape = list(ops.shape(images))
    first = _slice_axis(images, 0, n - 1, axis)
    second = _slice_axis(images, 1, n, axis)
    fractions = [step / factor for step in range(factor)]
    steps = [first if f == 0 else first + (second - first) * f for f in fractions]
    between = ops.reshape(
        ops.stack(steps, axis=axis + 1), [*shape[:axis], (n - 1) * factor, *shape[axis + 1 :]]
    )
    return ops.concatenate([between, _slice_axis(images, n - 1, n, axis)], axis=axis)


def _slice_axis(images, start, stop, axis):
    return images[(slice(None),) * axis + (slice(start, stop),)]


def _blend_axis(images, length, axis):
    n = ops.shape(images)[axis]
    position = _positions(n, length)
    low = ops.floor(position)
    weight = ops.reshape(position - low, [-1 if a == axis else 1 for a in range(len(images.shape))])
    weight = ops.cast(weight, images.dtype)
    low = ops.cast(low, "int32")
    first = ops.take(images, low, axis=axis)
    return first + (ops.take(images, ops.minimum(low + 1, n - 1), axis=axis) - first) * weight


def _positions(n, length):
    """float32 [length]: where each output sample lies on the input's axis of `n` samples."""
    scale = ops.cast(n - 1, "float32") / _extent(length)
    return ops.cast(ops.arange(length), "float32") * scale


def _extent(length):
    """Distance between the first and last sample, at least 1 to divide by."""
    return ops.cast(ops.maximum(length - 1, 1), "float32")


def _is_same(n, length):
    return isinstance(n, int) and isinstance(length, int) and n == length
