"""Gates that weigh the channels of a feature map by what its means tell."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.layers.convolution import Convolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SqueezeExcite(keras.layers.Layer):
    """Scales channels by a gate computed from their means: (b, h, w, c) -> (b, h, w, c).

    Hu et al. 2018 (arXiv 1709.01507). The defaults are what DeepLab2 uses in MobileNetV3.

    Args:
        filters: int. Channels of the squeezed representation.
        activation: str. Activation of the squeezed representation.
        gate: str. Activation that makes the gate.

    Example:
    ```python
    SqueezeExcite(8)(keras.ops.ones((1, 9, 9, 16))).shape  # (1, 9, 9, 16)
    ```
    """

    def __init__(self, filters: int, activation: str = "relu", gate: str = "sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = activation
        self.gate = gate

    def build(self, input_shape):
        shared = {"batch_norm": False, "dtype": self.dtype_policy}
        self.reduce = Convolution(self.filters, activation=self.activation, name="reduce", **shared)
        self.expand = Convolution(input_shape[-1], activation=self.gate, name="expand", **shared)
        self.reduce.build((None, 1, 1, input_shape[-1]))
        self.expand.build((None, 1, 1, self.filters))

    def call(self, inputs):
        return inputs * self.expand(self.reduce(ops.mean(inputs, axis=(1, 2), keepdims=True)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": self.activation,
            "gate": self.gate,
        }


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SimplifiedSqueezeExcite(keras.layers.Layer):
    """Scales channels by a gate from one layer without a squeeze: (b, h, w, c) -> (b, h, w, c).

    Lee and Park 2020 (arXiv 1911.06667, section 3.3), with `rounded_hard_sigmoid` as the gate.

    Example:
    ```python
    SimplifiedSqueezeExcite()(keras.ops.ones((1, 9, 9, 16))).shape  # (1, 9, 9, 16)
    ```
    """

    def build(self, input_shape):
        self.gate = Convolution(
            input_shape[-1],
            activation=rounded_hard_sigmoid,
            batch_norm=False,
            dtype=self.dtype_policy,
            name="gate",
        )
        self.gate.build((None, 1, 1, input_shape[-1]))

    def call(self, inputs):
        return inputs * self.gate(ops.mean(inputs, axis=(1, 2), keepdims=True))

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_deeplab")
def rounded_hard_sigmoid(x):
    """`relu6(x + 3) * 0.16667`: DeepLab2 rounds the sixth, and its weights were trained with that.

    Args:
        x: float tensor.

    Returns:
        Tensor of the same shape in [0, 1.00002].
    """
    return ops.relu6(x + 3.0) * 0.16667
