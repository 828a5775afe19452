"""Residual blocks that keep their features unactivated between blocks.

One block type, `ResidualBlock`, adds a shortcut to a branch; a few functions make the branches that the
networks of the family differ in.
"""

from __future__ import annotations

import keras

from keras_deeplab.layers.axial_attention import AxialAttention2D
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.drop_path import DropPath
from keras_deeplab.layers.recomputation import call_recomputed
from keras_deeplab.layers.squeeze_excite import SimplifiedSqueezeExcite
from keras_deeplab.layers.switchable_atrous import SwitchableAtrousConvolution


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ResidualBlock(keras.layers.Layer):
    """A branch of layers beside a shortcut: (b, h, w, c) -> (b, ceil(h/s), ceil(w/s), filters).

    The block activates its input and leaves its output unactivated, so the next block (or whoever
    consumes the features) applies the activation (He et al. 2016, arXiv 1512.03385, figure 5, with the
    last activation moved to the consumer).

    Args:
        branch: list of layers, from the activated input to the output; the last one is a `Convolution`.
        strides: int. Step of the branch, which the shortcut takes too.
        activation: str. Name of a Keras activation.
        squeeze_excite: bool. Weigh the branch's channels by a gate computed from their means.
        drop_path_rate: float. Share of images that skip the branch while training.
        recompute: bool. Keep only the block's input while training, and compute the branch a second
            time for the gradient: less memory, more time.
        batch_norm_momentum: float. Of the shortcut's normalisation.
        batch_norm_epsilon: float. Of the shortcut's normalisation.

    Example:
    ```python
    block = ResidualBlock(bottleneck_branch((64, 64, 256), strides=2), strides=2)
    block(keras.ops.ones((1, 65, 65, 64))).shape  # (1, 33, 33, 256)
    ```
    """

    def __init__(
        self,
        branch,
        strides: int = 1,
        activation: str = "relu",
        squeeze_excite: bool = False,
        drop_path_rate: float = 0.0,
        recompute: bool = False,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.branch = list(branch)
        self.filters = self.branch[-1].filters
        self.strides = strides
        self.activation = activation
        self.recompute = recompute
        self._activation = keras.activations.get(activation)
        self._normalization = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        self.shortcut = None
        self.squeeze_excite = None
        if squeeze_excite:
            self.squeeze_excite = SimplifiedSqueezeExcite(dtype=self.dtype_policy, name="squeeze_excite")
        self.drop_path = DropPath(drop_path_rate, dtype=self.dtype_policy, name="drop_path")

    def build(self, input_shape):
        if input_shape[-1] != self.filters:
            self.shortcut = Convolution(
                self.filters,
                strides=self.strides,
                dtype=self.dtype_policy,
                name="shortcut",
                **self._normalization,
            )
            self.shortcut.build(input_shape)
        for layer in self.branch:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        if self.squeeze_excite is not None:
            self.squeeze_excite.build(input_shape)

    def call(self, inputs, training=None):
        masks = []
        if training and self.drop_path.rate > 0:
            # Drawn outside of what is recomputed, which must not draw again.
            masks = [self.drop_path.draw_mask(inputs)]
        if self.recompute and training:
            return call_recomputed(self, self._train, inputs, *masks)
        return self._add_branch(inputs, *masks, training=training)

    def _train(self, inputs, *masks):
        return self._add_branch(inputs, *masks, training=True)

    def _add_branch(self, inputs, mask=None, training=None):
        x = self._activation(inputs)
        if self.shortcut is not None:
            shortcut = self.shortcut(x, training=training)
        else:
            shortcut = x[:, :: self.strides, :: self.strides]
        for layer in self.branch:
            x = layer(x, training=training)
        if self.squeeze_excite is not None:
            x = self.squeeze_excite(x)
        return (x if mask is None else x * mask) + shortcut

    def compute_output_shape(self, input_shape):
        b, h, w, _ = input_shape
        return (b, *(None if n is None else -(-n // self.strides) for n in (h, w)), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "branch": [keras.saving.serialize_keras_object(layer) for layer in self.branch],
            "strides": self.strides,
            "activation": self.activation,
            "squeeze_excite": self.squeeze_excite is not None,
            "drop_path_rate": self.drop_path.rate,
            "recompute": self.recompute,
            **self._normalization,
        }

    @classmethod
    def from_config(cls, config):
        branch = [keras.saving.deserialize_keras_object(layer) for layer in config["branch"]]
        return cls(**{**config, "branch": branch})


def basic_branch(
    filters: tuple[int, int],
    strides: int = 1,
    atrous_rates: tuple[int, int] = (1, 1),
    activation: str = "relu",
    switchable: bool = False,
    **options,
) -> list:
    """Two 3x3 convolutions (He et al. 2016, arXiv 1512.03385, figure 5 left).

    Args:
        filters: two int. Channels of the convolutions.
        strides: int. Step of the first one.
        atrous_rates: two int. Rates of the convolutions.
        activation: str. Activation between them.
        switchable: bool. Use switchable atrous convolutions.
        **options: `batch_norm_momentum`, `batch_norm_epsilon` and `dtype`.

    Returns:
        List of two layers; the second ends unactivated, with a scale of 0.
    """
    convolution = SwitchableAtrousConvolution if switchable else Convolution
    return [
        convolution(filters[0], 3, strides, atrous_rates[0], activation=activation, name="conv1", **options),
        convolution(
            filters[1], 3, atrous_rate=atrous_rates[1], gamma_initializer="zeros", name="conv2", **options
        ),
    ]


def bottleneck_branch(
    filters: tuple[int, int, int],
    strides: int = 1,
    atrous_rate: int = 1,
    activation: str = "relu",
    switchable: bool = False,
    **options,
) -> list:
    """1x1, 3x3 and 1x1 convolutions (He et al. 2016, arXiv 1512.03385, figure 5 right).

    Args:
        filters: three int. Channels of the convolutions.
        strides: int. Step of the 3x3 convolution.
        atrous_rate: int. Rate of the 3x3 convolution.
        activation: str. Activation between them.
        switchable: bool. Make the 3x3 convolution a switchable atrous one.
        **options: `batch_norm_momentum`, `batch_norm_epsilon` and `dtype`.

    Returns:
        List of three layers; the last ends unactivated, with a scale of 0.
    """
    convolution = SwitchableAtrousConvolution if switchable else Convolution
    return [
        Convolution(filters[0], activation=activation, name="reduce", **options),
        convolution(filters[1], 3, strides, atrous_rate, activation=activation, name="spatial", **options),
        Convolution(filters[2], gamma_initializer="zeros", name="expand", **options),
    ]


def attention_branch(
    filters: tuple[int, int, int],
    strides: int = 1,
    activation: str = "relu",
    attention=AxialAttention2D,
    key_expansion: int = 1,
    value_expansion: int = 2,
    heads: int = 8,
    **options,
) -> list:
    """A bottleneck whose 3x3 convolution is attention (Wang et al. 2020, arXiv 2003.07853, figure 2).

    Args:
        filters: three int. Channels of the first convolution, base width of the attention, and channels
            of the last convolution.
        strides: int. Step of the attention's output.
        activation: str. Activation after the first convolution and the attention.
        attention: `AxialAttention2D` or `GlobalAttention2D`.
        key_expansion: int. Channels of queries and keys, in base widths.
        value_expansion: int. Channels of values, in base widths.
        heads: int.
        **options: `batch_norm_momentum`, `batch_norm_epsilon` and `dtype`.

    Returns:
        List of three layers; the last ends unactivated, with a scale of 0.
    """
    return [
        Convolution(filters[0], activation=activation, name="reduce", **options),
        attention(
            filters[1],
            key_expansion=key_expansion,
            value_expansion=value_expansion,
            heads=heads,
            strides=strides,
            activation=activation,
            name="attention",
            **options,
        ),
        Convolution(filters[2], gamma_initializer="zeros", name="expand", **options),
    ]
