"""Losses on dense predictions: semantic classes, centre heat maps and offsets.

All of them return one value per image: the sum of the (hardest) pixels' losses divided by the number of
pixels among them whose loss is not zero. Ignored pixels, pixels of weight 0 and pixels that are exactly
right therefore never dilute the mean.
"""

from __future__ import annotations

import math

import keras
from keras import ops


def mean_of_hardest(losses, top_k: float = 1.0):
    """Mean over the non-zero ones among the largest losses of each image: losses (b, ...) -> (b,).

    "Bootstrapped" losses or hard pixel mining (Yang et al. 2019, arXiv 1902.05093, section 3).

    Args:
        losses: float32 tensor `[b, ...]`, one loss per pixel, of static shape unless `top_k` is 1.
        top_k: float in (0, 1]. Share of the pixels that count.

    Returns:
        float32 `[b]`; 0 for images whose losses are all zero.

    Example:
    ```python
    mean_of_hardest(keras.ops.array([[4.0, 2.0, 0.0, 1.0]]), top_k=0.5)  # [3.]
    ```
    """
    size = losses.shape[1:]
    count = -1 if None in size else math.prod(size)
    losses = (
        ops.reshape(losses, (-1, count)) if count != -1 else ops.reshape(losses, (ops.shape(losses)[0], -1))
    )
    if top_k < 1.0:
        if count == -1:
            raise ValueError("A loss with `top_k` below 1 needs images of a fixed size.")
        losses = losses * _largest(ops.stop_gradient(losses), max(1, round(top_k * count)))
    nonzero = ops.sum(ops.cast(ops.not_equal(losses, 0.0), "float32"), axis=1)
    return ops.sum(losses, axis=1) / ops.maximum(nonzero, 1.0)


def semantic_cross_entropy(labels, logits, weights=None, ignore_label: int | None = 255, top_k: float = 1.0):
    """Softmax cross-entropy of each pixel's class, hardest pixels only: (b, h, w), (b, h, w, c) -> (b,).

    Labels finer than the logits are subsampled; their grids must share the corners.

    Args:
        labels: integer `[b, H, W]`. Training classes.
        logits: float `[b, h, w, c]`, with `(H - 1)` a multiple of `(h - 1)`.
        weights: float `[b, H, W]` or `None`. Weight per pixel.
        ignore_label: int or `None`. Class of pixels that do not count.
        top_k: float in (0, 1]. Share of the pixels that count (Panoptic-DeepLab: 0.2).

    Returns:
        float32 `[b]`.

    Raises:
        ValueError: if labels and logits do not fit together.

    Example:
    ```python
    labels, logits = keras.ops.zeros((2, 9, 9), "int32"), keras.ops.zeros((2, 9, 9, 19))
    semantic_cross_entropy(labels, logits)  # [2.944, 2.944], that is log(19)
    ```
    """
    step = _label_step(labels.shape[1:3], logits.shape[1:3])
    labels = ops.cast(labels, "int32")[:, ::step, ::step]
    logits = ops.cast(logits, "float32")
    if weights is None:
        pixel_weights = ops.ones_like(logits[..., 0])
    else:
        pixel_weights = ops.cast(weights, "float32")[:, ::step, ::step]
    if ignore_label is not None:
        is_valid = ops.not_equal(labels, ignore_label)
        labels = ops.where(is_valid, labels, 0)
        pixel_weights = pixel_weights * ops.cast(is_valid, "float32")
    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    # Labels may come without a static shape; the logits know it.
    losses = ops.reshape(losses * pixel_weights, ops.shape(logits)[:-1])
    return mean_of_hardest(losses, top_k)


def mean_squared_error(targets, predictions, weights=None, top_k: float = 1.0):
    """Squared error per pixel, averaged over channels: (b, h, w, c), (b, h, w, c) -> (b,).

    Args:
        targets: float `[b, h, w, c]`.
        predictions: float `[b, h, w, c]`.
        weights: float `[b, h, w]` or `None`.
        top_k: float in (0, 1]. Share of the pixels that count.

    Returns:
        float32 `[b]`.

    Example:
    ```python
    mean_squared_error(keras.ops.zeros((1, 2, 2, 1)), keras.ops.full((1, 2, 2, 1), 3.0))  # [9.]
    ```
    """
    return _regression(ops.square, targets, predictions, weights, top_k)


def mean_absolute_error(targets, predictions, weights=None, top_k: float = 1.0):
    """Absolute error per pixel, averaged over channels: (b, h, w, c), (b, h, w, c) -> (b,).

    Args:
        targets: float `[b, h, w, c]`.
        predictions: float `[b, h, w, c]`.
        weights: float `[b, h, w]` or `None`.
        top_k: float in (0, 1]. Share of the pixels that count.

    Returns:
        float32 `[b]`.

    Example:
    ```python
    mean_absolute_error(keras.ops.zeros((1, 2, 2, 2)), keras.ops.full((1, 2, 2, 2), -3.0))  # [3.]
    ```
    """
    return _regression(_magnitude, targets, predictions, weights, top_k)


@keras.saving.register_keras_serializable(package="keras_deeplab")
class PanopticDeepLabLoss:
    """The training loss of Panoptic-DeepLab (Cheng et al. 2020, equation 1), one value per image and term.

    Args:
        ignore_label: int. Class of pixels without semantic loss.
        semantic_weight: float. Weight of the cross-entropy.
        center_weight: float. Weight of the heat map's squared error.
        offset_weight: float. Weight of the offsets' absolute error.
        semantic_top_k: float in (0, 1]. Share of the pixels in the cross-entropy.

    Call it with `(targets, heads)`, dicts as `data.panoptic_targets` and the model give them; it returns
    a dict from the terms' names (`names`) to float32 `[b]`. Terms without a prediction are left out.

    Example:
    ```python
    loss = PanopticDeepLabLoss(ignore_label=255)
    terms = loss(targets, model(images))
    total = sum(terms.values())
    ```
    """

    names = ("semantic_loss", "center_loss", "offset_loss")

    def __init__(
        self,
        ignore_label: int = 255,
        semantic_weight: float = 1.0,
        center_weight: float = 200.0,
        offset_weight: float = 0.01,
        semantic_top_k: float = 0.2,
    ):
        if not 0 < semantic_top_k <= 1:
            raise ValueError(f"`semantic_top_k` must lie in (0, 1]. Received: {semantic_top_k}")
        self.ignore_label = ignore_label
        self.semantic_weight = semantic_weight
        self.center_weight = center_weight
        self.offset_weight = offset_weight
        self.semantic_top_k = semantic_top_k

    def __call__(self, targets: dict, heads: dict) -> dict:
        terms = {
            "semantic_loss": self.semantic_weight
            * semantic_cross_entropy(
                targets["semantic"],
                heads["semantic_logits"],
                targets["semantic_weight"],
                self.ignore_label,
                self.semantic_top_k,
            )
        }
        if "center_heatmap" in heads:
            terms["center_loss"] = self.center_weight * mean_squared_error(
                targets["center_heatmap"], heads["center_heatmap"], targets["center_weight"]
            )
            terms["offset_loss"] = self.offset_weight * mean_absolute_error(
                targets["center_offset"], heads["center_offset"], targets["offset_weight"]
            )
        return terms

    @classmethod
    def from_config(cls, config: dict) -> PanopticDeepLabLoss:
        return cls(**config)

    def get_config(self) -> dict:
        return {
            "ignore_label": self.ignore_label,
            "semantic_weight": self.semantic_weight,
            "center_weight": self.center_weight,
            "offset_weight": self.offset_weight,
            "semantic_top_k": self.semantic_top_k,
        }


def _largest(losses, k):
    """float32 [b, n]: 1 for the k largest of each row, ties by position on every backend."""
    threshold = ops.min(ops.top_k(losses, k, sorted=False)[0], axis=1, keepdims=True)
    is_above = ops.cast(losses > threshold, "int32")
    is_tied = ops.cast(ops.equal(losses, threshold), "int32")
    is_kept = ops.cumsum(is_tied, axis=1) <= k - ops.sum(is_above, axis=1, keepdims=True)
    return ops.cast(is_above + is_tied * ops.cast(is_kept, "int32"), "float32")


def _magnitude(error):
    # JAX's `abs` has slope 1 at 0; a pixel that is exactly right must not be pushed.
    return error * ops.sign(error)


def _regression(function, targets, predictions, weights, top_k):
    error = ops.cast(predictions, "float32") - ops.cast(targets, "float32")
    losses = ops.mean(function(error), axis=-1)
    return mean_of_hardest(losses if weights is None else losses * ops.cast(weights, "float32"), top_k)


def _label_step(label_size, logit_size):
    if tuple(label_size) == tuple(logit_size) or None in (*label_size, *logit_size):
        return 1
    steps = {(n - 1) / max(m - 1, 1) for n, m in zip(label_size, logit_size, strict=True)}
    step = steps.pop()
    if steps or step < 1 or not step.is_integer():
        raise ValueError(
            f"Labels of size {tuple(label_size)} do not fit logits of size {tuple(logit_size)}: "
            "(labels - 1) must be the same multiple of (logits - 1) on both sides."
        )
    return int(step)
