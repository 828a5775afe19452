"""The decoder and the prediction head of Panoptic-DeepLab (Cheng et al. 2020, arXiv 1911.10194)."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.aspp import ASPP
from keras_deeplab.layers.convolution import Convolution, SeparableConvolution
from keras_deeplab.layers.initializers import ScaledNormal
from keras_deeplab.ops.resize import resize_bilinear


@keras.saving.register_keras_serializable(package="keras_deeplab")
class PanopticDecoder(keras.layers.Layer):
    """ASPP, then upsampling in steps that take in finer features (figure 2 of the paper).

    Features {"res2": (b, h/4, w/4, _), "res3": ..., "res5": ...} -> (b, h/4, w/4, filters).

    Args:
        filters: int. Channels of the fusion convolutions and of the output.
        aspp_filters: int. Channels of the ASPP.
        atrous_rates: three int. Rates of the ASPP: (3, 6, 9) at output stride 32, twice that at 16.
        pooling_window: `(height, width)` or `None`. Pooling window of the ASPP.
        high_level: str. Name of the feature that the ASPP takes.
        low_levels: sequence of `(name, filters)`. Finer features, coarse to fine, and the channels that
            they are projected to.
        kernel_size: int. Side of the separable fusion convolutions.
        activation: str.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    backbone = keras_deeplab.MobileNetV3Backbone.from_variant("mobilenet_v3_small")
    features = backbone(keras.ops.ones((1, 65, 129, 3)))
    PanopticDecoder(128)(features).shape  # (1, 17, 33, 128)
    ```
    """

    def __init__(
        self,
        filters: int = 256,
        aspp_filters: int = 256,
        atrous_rates: tuple[int, int, int] = (3, 6, 9),
        pooling_window: tuple[int, int] | None = None,
        high_level: str = "res5",
        low_levels: tuple[tuple[str, int], ...] = (("res3", 64), ("res2", 32)),
        kernel_size: int = 5,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "aspp_filters": aspp_filters,
            "atrous_rates": tuple(atrous_rates),
            "pooling_window": pooling_window,
            "high_level": high_level,
            "low_levels": tuple((name, channels) for name, channels in low_levels),
            "kernel_size": kernel_size,
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
        self.low_levels = [name for name, _ in low_levels]
        self.aspp = ASPP(aspp_filters, atrous_rates, pooling_window, name="aspp", **shared)
        self.projections = [
            Convolution(channels, name=f"project{i}", **shared)
            for i, (_, channels) in enumerate(low_levels, start=1)
        ]
        self.fusions = [
            SeparableConvolution(filters, kernel_size, name=f"fuse{i}", **shared)
            for i in range(1, len(low_levels) + 1)
        ]

    def build(self, features_shape):
        self.aspp.build(features_shape[self.high_level])
        channels = self.options["aspp_filters"]
        for name, project, fuse in zip(self.low_levels, self.projections, self.fusions, strict=True):
            project.build(features_shape[name])
            fuse.build((*features_shape[name][:-1], channels + project.filters))
            channels = self.options["filters"]

    def call(self, features, training=None, scale=1.0):
        """Decodes; `scale` is that of the image against the one the pooling window is meant for."""
        x = self.aspp(features[self.high_level], training=training, scale=scale)
        for name, project, fuse in zip(self.low_levels, self.projections, self.fusions, strict=True):
            low_level = project(features[name], training=training)
            x = resize_bilinear(x, _grid(low_level))
            x = fuse(ops.concatenate([x, low_level], axis=-1), training=training)
        return x

    def compute_output_shape(self, features_shape):
        return (*features_shape[self.low_levels[-1]][:-1], self.options["filters"])

    def get_config(self):
        return {**super().get_config(), **self.options}


@keras.saving.register_keras_serializable(package="keras_deeplab")
class PredictionHead(keras.layers.Layer):
    """A separable convolution and a plain 1x1 convolution: (b, h, w, c) -> (b, h, w, outputs) float32.

    Args:
        filters: int. Channels between the two convolutions.
        outputs: int. Number of predicted values per pixel.
        kernel_size: int. Side of the separable convolution.
        activation: str.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    PredictionHead(32, outputs=2)(keras.ops.ones((1, 17, 33, 128))).shape  # (1, 17, 33, 2)
    ```
    """

    def __init__(
        self,
        filters: int,
        outputs: int,
        kernel_size: int = 5,
        activation: str = "relu",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "filters": filters,
            "outputs": outputs,
            "kernel_size": kernel_size,
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        self.convolution = SeparableConvolution(
            filters,
            kernel_size,
            activation=activation,
            batch_norm_momentum=batch_norm_momentum,
            batch_norm_epsilon=batch_norm_epsilon,
            dtype=self.dtype_policy,
            name="conv",
        )
        self.predict = keras.layers.Conv2D(
            outputs,
            1,
            kernel_initializer=ScaledNormal(0.01),
            dtype="float32",
            name="predict",
        )

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.predict.build(self.convolution.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        return self.predict(self.convolution(inputs, training=training))

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor((*inputs.shape[:-1], self.options["outputs"]), dtype="float32")

    def get_config(self):
        return {**super().get_config(), **self.options}


def _grid(features):
    """Height and width, static where known."""
    return [s or d for s, d in zip(features.shape[1:3], ops.shape(features)[1:3], strict=True)]
