"""Atrous spatial pyramid pooling."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.ops.pooling import sliding_mean
from keras_deeplab.ops.resize import resize_bilinear, scale_dimension


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ASPP(keras.layers.Layer):
    """Context at several scales side by side: (b, h, w, c) -> (b, h, w, filters).

    A 1x1 convolution, three dilated 3x3 convolutions and an average pooling, concatenated and projected
    (Chen et al. 2017, arXiv 1706.05587, section 3.3). Without rates only the projection is left, for
    backbones whose attention sees the whole image (Wang et al. 2020, arXiv 2003.07853, section 3.3).

    Args:
        filters: int. Channels of every branch and of the output.
        atrous_rates: three int, or `()`. Rates of the dilated branches.
        pooling_window: `(height, width)` or `None`. Window of the average, in feature pixels; where the
            map is smaller the window shrinks to the map. `None` averages over the whole map.
        activation: str.
        dropout: float. Rate of the dropout after the projection.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    ASPP(256, atrous_rates=(3, 6, 9))(keras.ops.ones((1, 33, 65, 2048))).shape  # (1, 33, 65, 256)
    ```
    """

    def __init__(
        self,
        filters: int = 256,
        atrous_rates: tuple[int, int, int] = (6, 12, 18),
        pooling_window: tuple[int, int] | None = None,
        activation: str = "relu",
        dropout: float = 0.1,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.atrous_rates = tuple(atrous_rates)
        self.pooling_window = None if pooling_window is None else tuple(pooling_window)
        self.activation = activation
        self.dropout_rate = dropout
        self._shared = {
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.branches = []
        if self.atrous_rates:
            self.branches = [Convolution(filters, name="conv", **self._shared)] + [
                Convolution(filters, 3, atrous_rate=rate, name=f"atrous{i}", **self._shared)
                for i, rate in enumerate(self.atrous_rates, start=1)
            ]
            self.pool = Convolution(filters, name="pool", **self._shared)
        self.project = Convolution(filters, name="project", **self._shared)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape):
        if not self.atrous_rates:
            self.project.build(input_shape)
            return
        for layer in (*self.branches, self.pool):
            layer.build(input_shape)
        self.project.build((*input_shape[:-1], (len(self.branches) + 1) * self.filters))

    def call(self, inputs, training=None, scale=1.0):
        """Runs the branches; `scale` is that of the image against the one the pooling window is meant for."""
        if not self.atrous_rates:
            return self.project(inputs, training=training)
        features = [branch(inputs, training=training) for branch in self.branches]
        pooled = self.pool(self._average(inputs, scale), training=training)
        if tuple(pooled.shape[1:3]) == (1, 1):
            pooled = ops.broadcast_to(pooled, ops.shape(features[0]))
        else:
            pooled = resize_bilinear(pooled, ops.shape(inputs)[1:3])
        x = self.project(ops.concatenate([*features, pooled], axis=-1), training=training)
        return self.dropout(x, training=training)

    def _average(self, inputs, scale=1.0):
        if self.pooling_window is None:
            return ops.mean(inputs, axis=(1, 2), keepdims=True)
        return sliding_mean(inputs, [scale_dimension(length, scale) for length in self.pooling_window])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "atrous_rates": self.atrous_rates,
            "pooling_window": self.pooling_window,
            "activation": self.activation,
            "dropout": self.dropout_rate,
            "batch_norm_momentum": self._shared["batch_norm_momentum"],
            "batch_norm_epsilon": self._shared["batch_norm_epsilon"],
        }
