"""The decoder of DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611)."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.aspp import ASPP
from keras_deeplab.layers.convolution import Convolution, SeparableConvolution
from keras_deeplab.ops.resize import resize_bilinear


@keras.saving.register_keras_serializable(package="keras_deeplab")
class DeepLabV3PlusDecoder(keras.layers.Layer):
    """ASPP, joined by one finer feature, two separable convolutions and the classifier.

    Section 3.1 and figure 2 of the paper.

    Features {"res2": (b, h, w, _), "res5": ...} -> (b, h, w, outputs) float32.

    Args:
        outputs: int. Number of classes.
        filters: int. Channels of the separable convolutions.
        aspp_filters: int. Channels of the ASPP.
        atrous_rates: three int, or `()`. Rates of the ASPP.
        pooling_window: `(height, width)` or `None`. Pooling window of the ASPP.
        high_level: str. Name of the feature that the ASPP takes.
        low_level: str. Name of the finer feature.
        low_level_filters: int. Channels that the finer feature is projected to.
        activation: str.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    features = {"res2": keras.ops.ones((1, 33, 65, 256)), "res5": keras.ops.ones((1, 9, 17, 2048))}
    DeepLabV3PlusDecoder(19)(features).shape  # (1, 33, 65, 19)
    ```
    """

    def __init__(
        self,
        outputs: int,
        filters: int = 256,
        aspp_filters: int = 256,
        atrous_rates: tuple[int, int, int] = (6, 12, 18),
        pooling_window: tuple[int, int] | None = None,
        high_level: str = "res5",
        low_level: str = "res2",
        low_level_filters: int = 48,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "outputs": outputs,
            "filters": filters,
            "aspp_filters": aspp_filters,
            "atrous_rates": tuple(atrous_rates),
            "pooling_window": pooling_window,
            "high_level": high_level,
            "low_level": low_level,
            "low_level_filters": low_level_filters,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        shared = {
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.high_level = high_level
        self.low_level = low_level
        self.aspp = ASPP(aspp_filters, atrous_rates, pooling_window, name="aspp", **shared)
        self.project = Convolution(low_level_filters, name="project", **shared)
        self.fusions = [SeparableConvolution(filters, 3, name=f"fuse{i}", **shared) for i in (1, 2)]
        self.predict = Convolution(outputs, batch_norm=False, dtype="float32", name="predict")

    def build(self, features_shape):
        self.aspp.build(features_shape[self.high_level])
        shape = features_shape[self.low_level]
        self.project.build(shape)
        shape = (*shape[:-1], self.options["aspp_filters"] + self.project.filters)
        for layer in (*self.fusions, self.predict):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, features, training=None, scale=1.0):
        """Decodes; `scale` is that of the image against the one the pooling window is meant for."""
        x = self.aspp(features[self.high_level], training=training, scale=scale)
        low_level = self.project(features[self.low_level], training=training)
        size = [s or d for s, d in zip(low_level.shape[1:3], ops.shape(low_level)[1:3], strict=True)]
        x = ops.concatenate([resize_bilinear(x, size), low_level], axis=-1)
        for fuse in self.fusions:
            x = fuse(x, training=training)
        return self.predict(x)

    def compute_output_spec(self, features, training=None, scale=1.0):
        shape = (*features[self.low_level].shape[:-1], self.options["outputs"])
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {**super().get_config(), **self.options}
