"""Grouping: every pixel votes for the centre of its instance."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.ops.nearest_center import nearest_center


def votes(offset):
    """Where each pixel believes its instance's centre: its own position plus its offset.

    Args:
        offset: float tensor `(b, h, w, 2)` of `(y, x)` in pixels.

    Returns:
        Tuple of the float32 coordinates y and x, each `(b, h, w)`.
    """
    offset = ops.cast(offset, "float32")
    _, height, width, _ = ops.shape(offset)
    y = ops.cast(ops.arange(height), "float32")[:, None] + offset[..., 0]
    x = ops.cast(ops.arange(width), "float32") + offset[..., 1]
    return y, x


def group_pixels(centers, scores, offset, mask):
    """Assigns each pixel to the centre nearest to where its offset points.

    Distances are compared as float32 `(y - cy)^2 + (x - cx)^2`; compilers may fuse the multiplication
    and the addition, so that centres whose distances agree within rounding can swap. The first centre
    wins exact ties. A vote that is not finite, or so far away that all distances overflow, goes to the
    first centre. At no time there is more than a few values per pixel
    (Cheng et al. 2020, section 3.2, equation 1).

    Args:
        centers: tensor `(b, k, 2)` of centres `(y, x)` in pixels, as from `find_centers`.
        scores: tensor `(b, k)`, 0 in unused slots. Used slots come first.
        offset: float tensor `(b, h, w, 2)`, from each pixel to its centre, `(y, x)` in pixels.
        mask: bool tensor `(b, h, w)`. Pixels that belong to instances.

    Returns:
        int32 tensor `(b, h, w)`: the slot of the nearest centre plus one; 0 outside of the mask and
        where there are no centres.

    Example:
    ```python
    centers, scores = np.array([[[0, 0], [0, 3]]]), np.array([[0.9, 0.8]])
    group_pixels(centers, scores, np.zeros((1, 1, 4, 2)), np.ones((1, 1, 4), bool))  # [[[1 1 2 2]]]
    ```
    """
    centers, scores, mask = (ops.convert_to_tensor(value) for value in (centers, scores, mask))
    y, x = votes(offset)
    if _runs_eagerly_on_torch(y):
        return _group_masked_pixels(centers, scores, y, x, mask)
    return group_all_pixels(centers, scores, y, x, mask)


def group_all_pixels(centers, scores, y, x, mask):
    """`group_pixels` on any backend, from the votes' coordinates `(b, h, w)`; compiles everywhere."""
    used = scores > 0
    centers = ops.where(used[..., None], ops.cast(centers, "float32"), float("inf"))
    if keras.backend.backend() == "torch":
        most_used = centers.shape[1]  # Loops of torch are unrolled, so their length must not be a tensor.
    else:
        most_used = ops.max(ops.sum(ops.cast(used, "int32"), axis=-1))
    exists = ops.logical_and(mask, used[:, 0, None, None])
    return ops.where(exists, nearest_center(centers, most_used, y, x) + 1, 0)


def _group_masked_pixels(centers, scores, y, x, mask):
    """`group_pixels` on torch: looks only at the pixels of the mask."""
    import torch

    from keras_deeplab.ops import torch_nearest_center

    instance = torch.zeros(mask.shape, dtype=torch.int32, device=mask.device)
    for image in range(len(mask)):
        used = centers[image][scores[image] > 0].to(torch.float32)
        pixels = mask[image].flatten().nonzero()[:, 0]
        if len(used) and len(pixels):
            points = (values[image].flatten().index_select(0, pixels) for values in (y, x))
            nearest = torch_nearest_center.nearest_center(used, *points, mask.shape[1:])
            instance[image].view(-1)[pixels] = nearest + 1
    return instance


def _runs_eagerly_on_torch(tensor):
    if keras.backend.backend() != "torch":
        return False
    import torch

    traced = torch.compiler.is_compiling() or not isinstance(tensor, torch.Tensor) or tensor.is_meta
    return not traced
