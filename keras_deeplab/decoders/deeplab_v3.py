"""The decoder of DeepLabV3 (Chen et al. 2017, arXiv 1706.05587)."""

from __future__ import annotations

import keras

from keras_deeplab.layers.aspp import ASPP
from keras_deeplab.layers.convolution import Convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class DeepLabV3Decoder(keras.layers.Layer):
    """ASPP, a 3x3 convolution and the classifier.

    Features {"res5": (b, h, w, c)} -> (b, h, w, outputs) float32.

    Args:
        outputs: int. Number of classes.
        filters: int. Channels of the 3x3 convolution.
        aspp_filters: int. Channels of the ASPP.
        atrous_rates: three int, or `()`. Rates of the ASPP.
        pooling_window: `(height, width)` or `None`. Pooling window of the ASPP.
        high_level: str. Name of the feature that the ASPP takes.
        activation: str.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    DeepLabV3Decoder(19)({"res5": keras.ops.ones((1, 9, 17, 2048))}).shape  # (1, 9, 17, 19)
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
        self.aspp = ASPP(aspp_filters, atrous_rates, pooling_window, name="aspp", **shared)
        self.convolution = Convolution(filters, 3, name="conv", **shared)
        self.predict = Convolution(outputs, batch_norm=False, dtype="float32", name="predict")

    def build(self, features_shape):
        shape = features_shape[self.high_level]
        for layer in (self.aspp, self.convolution, self.predict):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, features, training=None, scale=1.0):
        """Decodes; `scale` is that of the image against the one the pooling window is meant for."""
        x = self.aspp(features[self.high_level], training=training, scale=scale)
        return self.predict(self.convolution(x, training=training))

    def compute_output_spec(self, features, training=None, scale=1.0):
        shape = (*features[self.high_level].shape[:-1], self.options["outputs"])
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {**super().get_config(), **self.options}
