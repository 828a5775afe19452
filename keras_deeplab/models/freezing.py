"""Keeping parts of a model as they are while the rest learns."""

from __future__ import annotations

import keras

from keras_deeplab.layers.batch_norm import BatchNormalization


def freeze_batch_norm(model: keras.Model) -> None:
    """Keeps the scales, shifts and moving moments of all batch normalisations, which then use these moments.

    For batches too small to have moments of their own. Call it before `compile`, or let `compile` do it.

    Args:
        model: any Keras model.

    Example:
    ```python
    freeze_batch_norm(model)
    model.compile()
    ```
    """
    for layer in model._flatten_layers():
        if isinstance(layer, (BatchNormalization, keras.layers.BatchNormalization)):
            layer.trainable = False


def freeze_backbone(model: keras.Model) -> None:
    """Keeps the weights and moving moments of a model's backbone.

    Call it before `compile`, or let `compile` do it. `model.backbone.trainable = True` takes it back.

    Args:
        model: `Segmenter`.

    Example:
    ```python
    freeze_backbone(model)
    model.compile()
    ```
    """
    model.backbone.trainable = False


# What `Segmenter.compile(freeze=...)` takes -> function of the model.
FREEZERS = {
    "backbone": freeze_backbone,
    "batch_norm": freeze_batch_norm,
    "backbone_batch_norm": lambda model: freeze_batch_norm(model.backbone),
}
