"""Averages a network's predictions over scaled and mirrored copies of the images."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable

import keras
from keras import ops

from keras_deeplab.layers.resize import Rescale

# Scale and mirroring of each copy, where the image itself is the only one.
SINGLE_VIEW = ((1.0, False),)


def list_views(scales, flip: bool) -> tuple[tuple[float, bool], ...]:
    """The copies of an image to predict on.

    Args:
        scales: sequence of positive floats.
        flip: bool. Add a mirrored copy at every scale.

    Returns:
        Tuple of (scale, is mirrored).

    Raises:
        ValueError: if a scale is not a positive number, or there is none.

    Example:
    ```python
    list_views((0.5, 1.0), flip=True)  # ((0.5, False), (0.5, True), (1.0, False), (1.0, True))
    ```
    """
    if not isinstance(scales, (tuple, list)) or not scales:
        raise ValueError(f"`scales` must be a tuple of numbers, e.g. (0.5, 1.0). Received: {scales!r}")
    for scale in scales:
        is_number = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
        if not is_number or not 0 < scale < math.inf:
            raise ValueError(f"`scales` must hold positive numbers. Received: {scale!r}")
    if not isinstance(flip, bool):
        raise ValueError(f"`flip` must be True or False. Received: {flip!r}")
    return tuple((float(scale), mirrored) for scale in scales for mirrored in ((False, True)[: 1 + flip]))


def average_heads(backbone, decode: Callable, images, views) -> dict:
    """Heads of images, averaged over their views; class probabilities rather than logits are averaged.

    Args:
        backbone: `Backbone`.
        decode: function from features, images and scale to heads at the images' size.
        images: symbolic tensor `[b, h, w, 3]`, normalised.
        views: tuple of (scale, is mirrored), as from `list_views`.

    Returns:
        Heads as the model's own. `semantic_logits` are the logarithms of the averaged probabilities.

    Example:
    ```python
    heads = average_heads(model.backbone, decode, images, list_views((0.5, 1.0), flip=False))
    ```
    """
    heads = []
    for scale, mirrored in views:
        view = images if scale == 1 else Rescale(scale)(images)
        # Called past its check of the size, which is that of scale 1.
        features = backbone.call(Mirror()(view) if mirrored else view)
        head = decode(features, images, scale)
        heads.append({name: Mirror()(x) for name, x in head.items()} if mirrored else head)
    mirrored = tuple(is_mirrored for _, is_mirrored in views)
    return {name: Average(name, mirrored)([head[name] for head in heads]) for name in heads[0]}


class Mirror(keras.layers.Layer):
    """Swaps left and right: (b, h, w, c) -> (b, h, w, c)."""

    def call(self, inputs):
        return ops.flip(inputs, axis=2)

    def compute_output_shape(self, input_shape):
        return input_shape


class Average(keras.layers.Layer):
    """Mean of one head over the views: [(b, h, w, c), ...] -> (b, h, w, c) float32.

    Args:
        head: str. Name of the head: of `semantic_logits`, probabilities are averaged, and their
            logarithms returned.
        mirrored: tuple of bool. The views whose horizontal displacements point the other way.
    """

    def __init__(self, head: str, mirrored: tuple[bool, ...], **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.head = head
        self.mirrored = mirrored

    def call(self, inputs):
        if self.head.endswith("offset"):
            inputs = [
                x * ops.convert_to_tensor([1.0, -1.0]) if mirrored else x
                for x, mirrored in zip(inputs, self.mirrored, strict=True)
            ]
        if not self.head.endswith("logits"):
            return sum(inputs) / len(inputs)
        # log of the mean of softmaxes, without leaving logarithms
        logs = ops.stack([ops.log_softmax(x, axis=-1) for x in inputs])
        return ops.logsumexp(logs, axis=0) - math.log(len(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape[0]
