"""Instance centres: the peaks of a heat map."""

from __future__ import annotations

import keras
from keras import ops


def sliding_maximum(x, size: int):
    """Maximum over a `size` x `size` window around each pixel, zeros outside of the image.

    The window begins `(size - 1) // 2` pixels before its pixel, so even sizes reach further down and
    right. It is computed one axis at a time, by doubling the window: `log2(size)` passes per axis.

    Args:
        x: tensor `(b, h, w)`.
        size: int. Side of the window in pixels.

    Returns:
        Tensor `(b, h, w)`.

    Example:
    ```python
    sliding_maximum(keras.ops.convert_to_tensor([[[1.0, 0.0, 0.0]]]), 3)  # [[[1. 1. 0.]]]
    ```
    """
    before = (size - 1) // 2
    x = ops.pad(x, [[0, 0], [before, size - 1 - before], [before, size - 1 - before]])
    width = 1
    while width < size:
        step = min(width, size - width)
        x = ops.maximum(x[:, :-step], x[:, step:])
        x = ops.maximum(x[:, :, :-step], x[:, :, step:])
        width += step
    return x


def find_centers(center_heatmap, threshold: float = 0.1, nms_kernel: int = 13, top_k: int = 400):
    """Finds instance centres: local maxima of a heat map above a threshold.

    A pixel is a centre when its heat is above the threshold and the highest of the window around it;
    every pixel of a plateau counts. Exactly the `top_k` best are kept, the first in raster order where
    heats are equal (Cheng et al. 2020, section 3.2, "Grouping").

    Args:
        center_heatmap: float tensor `(b, h, w, 1)`.
        threshold: float >= 0. Centres have more heat than this.
        nms_kernel: int. Side of the non-maximum suppression window in pixels, odd or even.
        top_k: int. Number of centres to keep, and of output slots.

    Returns:
        Tuple of centres, int32 `(b, top_k, 2)` with pixel coordinates `(y, x)`, and scores, float32
        `(b, top_k)`, the heat at each centre. Centres come in raster order; the unused slots after them
        are zero in both.

    Example:
    ```python
    heatmap = np.zeros((1, 5, 5, 1))
    heatmap[0, 3, 1] = 0.9
    centers, scores = find_centers(heatmap, top_k=2)  # [[[3 1] [0 0]]], [[0.9 0. ]]
    ```
    """
    heat = ops.cast(center_heatmap, "float32")[..., 0]
    batch, height, width = ops.shape(heat)
    heat = ops.where(heat > threshold, heat, 0.0)
    peaks = ops.where(heat == sliding_maximum(heat, nms_kernel), heat, 0.0)
    # Padding lets `top_k` be larger than the image.
    peaks = ops.pad(ops.reshape(peaks, (batch, height * width)), [[0, 0], [0, top_k]])
    scores, positions = _first_top_k(peaks, top_k)
    positions = ops.cast(positions, "int32")
    raster_order = ops.argsort(ops.where(scores > 0, positions, height * width), axis=-1)
    scores = ops.take_along_axis(scores, raster_order, axis=-1)
    positions = ops.where(scores > 0, ops.take_along_axis(positions, raster_order, axis=-1), 0)
    return ops.stack([positions // width, positions % width], axis=-1), scores


def _first_top_k(x, k):
    """`ops.top_k` of a tensor without negative values, where equal values come in order of position."""
    if keras.backend.backend() != "torch":
        return ops.top_k(x, k)
    import torch

    # torch.topk takes equal values in any order. The bits of a float that is not negative sort like
    # the float itself, so value and position make one key without ties.
    last = x.shape[-1] - 1
    descending = torch.arange(last, -1, -1, device=x.device)
    keys = torch.topk((x.view(torch.int32).to(torch.int64) << 32) | descending, k).values
    positions = last - (keys & 0xFFFFFFFF)
    return torch.gather(x, -1, positions), positions
