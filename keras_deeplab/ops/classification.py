"""Pixel classification: the best class and its probability."""

from __future__ import annotations

import keras
from keras import ops

# Rows worked on at a time, so that intermediate values stay in cache.
_TORCH_ROWS = 128
_JAX_ROWS = 32


def classify_pixels(logits):
    """The class with the highest logit, the first on ties, and its softmax probability.

    Args:
        logits: float tensor `(b, h, w, c)`.

    Returns:
        Tuple of classes, int32 `(b, h, w)`, and probabilities, float32 `(b, h, w)`.

    Example:
    ```python
    classify_pixels(np.zeros((1, 1, 1, 4)))  # [[[0]]], [[[0.25]]]
    ```
    """
    logits = ops.convert_to_tensor(logits)
    if keras.backend.backend() == "torch":
        parts = [_reduce_classes(rows) for rows in logits.split(_TORCH_ROWS, dim=1)]
        return tuple(ops.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    if keras.backend.backend() == "jax":
        return _scan_classes_in_slices(ops.cast(logits, "float32"))
    return _scan_classes(ops.cast(logits, "float32"))


def _scan_classes_in_slices(logits):
    """A loop over slices of the images, because XLA repeats the scan in each consumer of an open one."""
    batch, height, width, num_classes = logits.shape
    rows = next(n for n in range(_JAX_ROWS, 0, -1) if height % n == 0)
    maps = ops.map(_scan_classes, ops.reshape(logits, (-1, rows, width, num_classes)))
    return tuple(ops.reshape(values, (batch, height, width)) for values in maps)


def _scan_classes(logits):
    """Class by class: XLA fuses this into one vectorised loop, unlike reductions over a short last axis."""
    best = logits[..., 0]
    semantic = ops.zeros_like(best, dtype="int32")
    for c in range(1, logits.shape[-1]):
        better = logits[..., c] > best
        best = ops.where(better, logits[..., c], best)
        semantic = ops.where(better, c, semantic)
    total = sum(ops.exp(logits[..., c] - best) for c in range(logits.shape[-1]))
    return semantic, 1 / total


def _reduce_classes(logits):
    best, semantic = logits.float().max(dim=-1)
    return semantic.int(), 1 / (logits.float() - best[..., None]).exp_().sum(dim=-1)
