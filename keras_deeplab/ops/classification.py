"""Pixel classification: the best class and its probability."""

from __future__ import annotations

from keras import ops


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
    logits = ops.cast(logits, "float32")
    # Class by class rather than reductions over a short last axis: one vectorised pass when compiled.
    best = logits[..., 0]
    semantic = ops.zeros_like(best, dtype="int32")
    for c in range(1, logits.shape[-1]):
        better = logits[..., c] > best
        best = ops.where(better, logits[..., c], best)
        semantic = ops.where(better, c, semantic)
    total = sum(ops.exp(logits[..., c] - best) for c in range(logits.shape[-1]))
    return semantic, 1 / total
