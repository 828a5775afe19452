"""Layers that bring a feature map to the size of another one, corners aligned."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.ops.resize import resize_bilinear, resize_offsets, scale_dimension


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


@keras.saving.register_keras_serializable(package="keras_deeplab")
class Rescale(keras.layers.Layer):
    """Bilinear resizing by a factor: (b, h, w, c) -> (b, int((h - 1) s + 1), int((w - 1) s + 1), c).

    Args:
        scale: float.

    Example:
    ```python
    Rescale(0.5)(keras.ops.ones((1, 129, 257, 3))).shape  # (1, 65, 129, 3)
    ```
    """

    def __init__(self, scale: float, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        static = self.compute_output_shape(inputs.shape)[1:3]
        dynamic = (
            ops.cast(ops.cast(n - 1, "float32") * self.scale + 1, "int32") for n in ops.shape(inputs)[1:3]
        )
        return resize_bilinear(inputs, [s or d for s, d in zip(static, dynamic, strict=True)])

    def compute_output_shape(self, input_shape):
        b, h, w, c = input_shape
        return (b, *(None if n is None else scale_dimension(n, self.scale) for n in (h, w)), c)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}
