"""Layers that bring a feature map to the size of another one, corners aligned."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.ops.resize import resize_bilinear, resize_offsets


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ResizeLike(keras.layers.Layer):
    """Bilinear resizing to the size of a second tensor: (b, h, w, c), (b, H, W, _) -> (b, H, W, c).

    Args:
        displacements: bool. The values are displacements in pixels and grow with the grid.

    Example:
    ```python
    logits, image = keras.ops.ones((1, 33, 65, 19)), keras.ops.ones((1, 129, 257, 3))
    ResizeLike()(logits, image).shape  # (1, 129, 257, 19)
    ```
    """

    def __init__(self, displacements: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.displacements = displacements

    def call(self, inputs, like):
        size = [s or d for s, d in zip(like.shape[1:3], ops.shape(like)[1:3], strict=True)]
        return (resize_offsets if self.displacements else resize_bilinear)(inputs, size)

    def compute_output_shape(self, inputs_shape, like_shape):
        return (inputs_shape[0], *like_shape[1:3], inputs_shape[-1])

    def get_config(self):
        return {**super().get_config(), "displacements": self.displacements}
