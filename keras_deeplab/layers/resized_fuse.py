"""Adds up features of several sizes and widths."""

from __future__ import annotations

import keras

from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.ops.resize import resize_bilinear


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ResizedFuse(keras.layers.Layer):
    """Sum of features brought to one size and width.

    [(b, h_i, w_i, c_i), ...], (b, h, w, _) -> (b, h, w, filters)

    Takes unactivated features and leaves the sum unactivated. A feature of `filters` channels is resized
    as it is; one of twice the size goes through its activation and a strided 1x1 convolution; any other
    through its activation, a 1x1 convolution and resizing (MaX-DeepLab's stacked decoder, Wang et al.
    2021, arXiv 2012.00759).

    Args:
        filters: int. Channels of the sum.
        activation: str.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    coarse, fine = keras.ops.ones((1, 9, 17, 512)), keras.ops.ones((1, 17, 33, 256))
    ResizedFuse(256)([coarse, fine], fine).shape  # (1, 17, 33, 256)
    ```
    """

    def __init__(
        self,
        filters: int,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = activation
        self._activation = keras.activations.get(activation)
        self._shared = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }

    def build(self, inputs_shape, like_shape):
        self.projections = []
        for number, shape in enumerate(inputs_shape, start=1):
            projection = None
            if shape[-1] != self.filters:
                halves = tuple((n + 1) // 2 for n in shape[1:3]) == tuple(like_shape[1:3])
                name = f"strided{number}" if halves else f"resized{number}"
                projection = Convolution(self.filters, strides=2 if halves else 1, name=name, **self._shared)
                projection.build(shape)
            self.projections.append(projection)

    def call(self, inputs, like, training=None):
        """Adds up the inputs at the size of `like`."""
        total = 0.0
        for x, projection in zip(inputs, self.projections, strict=True):
            if projection is not None:
                x = projection(self._activation(x), training=training)
            total = total + resize_bilinear(x, like.shape[1:3])
        return total

    def compute_output_shape(self, inputs_shape, like_shape):
        return (*like_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": self.activation,
            "batch_norm_momentum": self._shared["batch_norm_momentum"],
            "batch_norm_epsilon": self._shared["batch_norm_epsilon"],
        }
