"""MobileNetV3 with dilated last stages (Howard et al. 2019, arXiv 1905.02244)."""

from __future__ import annotations

import keras

from keras_deeplab.backbones.backbone import Backbone, check_backbone_arguments, check_keyword_arguments
from keras_deeplab.layers.convolution import Convolution, DepthwiseConvolution
from keras_deeplab.layers.squeeze_excite import SqueezeExcite


@keras.saving.register_keras_serializable(package="keras_deeplab")
class MobileNetV3Backbone(Backbone):
    """MobileNetV3-Small and -Large.

    `res1` to `res4` are the last expanded features at their stride (the depthwise convolution's output,
    before squeeze-and-excite), as DeepLab2's decoders take them; `res5` is the last 1x1 convolution.

    Args:
        blocks: sequence of dicts, one per inverted bottleneck: `kernel_size`, `expanded_filters`,
            `filters`, `squeeze_excite` (bool), `activation`, `strides`. `backbones/variants.toml` has them.
        stem_filters: int. Channels of the first convolution.
        head_filters: int. Channels of the last convolution.
        output_stride: int, 8, 16 or 32. Layers beyond it keep their resolution and dilate instead.
        image_shape: `(height, width, channels)`; sides may be `None`.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    backbone = MobileNetV3Backbone.from_variant("mobilenet_v3_small")
    backbone(keras.ops.ones((1, 65, 129, 3)))["res5"].shape  # (1, 3, 5, 576)
    ```
    """

    def __init__(
        self,
        blocks,
        stem_filters: int = 16,
        head_filters: int = 576,
        output_stride: int = 32,
        image_shape: tuple[int | None, int | None, int] = (None, None, 3),
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        dtype=None,
        **kwargs,
    ):
        check_keyword_arguments(type(self), kwargs)
        image_shape = check_backbone_arguments(output_stride, image_shape)
        options = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": dtype,
        }
        images = keras.Input(image_shape, name="images")
        x = Convolution(stem_filters, 3, strides=2, activation="hard_silu", name="stem", **options)(images)
        features = {"res1": x}
        stride, atrous_rate = 2, 1
        for number, block in enumerate(blocks, start=1):
            grid_stride = block["strides"] if stride < output_stride else 1
            x, expanded = _inverted_bottleneck(
                x, block, grid_stride, atrous_rate, name=f"block{number}", options=options
            )
            if grid_stride != block["strides"]:
                atrous_rate *= block["strides"]
            else:
                stride *= block["strides"]
            features[f"res{(stride * atrous_rate).bit_length() - 1}"] = expanded
        features["res5"] = Convolution(head_filters, activation="hard_silu", name="head", **options)(x)
        super().__init__(inputs=images, outputs=features, dtype=dtype, **kwargs)
        self.input_spec = keras.layers.InputSpec(shape=(None, *image_shape))

        self.blocks = [dict(block) for block in blocks]
        self.stem_filters = stem_filters
        self.head_filters = head_filters
        self.output_stride = output_stride
        self.image_shape = image_shape
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon

    def get_config(self):
        return {
            **super().get_config(),
            "blocks": self.blocks,
            "stem_filters": self.stem_filters,
            "head_filters": self.head_filters,
            "output_stride": self.output_stride,
            "image_shape": self.image_shape,
            "batch_norm_momentum": self.batch_norm_momentum,
            "batch_norm_epsilon": self.batch_norm_epsilon,
        }


def _inverted_bottleneck(inputs, block, grid_stride, atrous_rate, name, options):
    """One block: its output, and its expanded features for the decoders (section 5.2 of the paper)."""
    x = inputs
    activation = block["activation"]
    if block["expanded_filters"] != inputs.shape[-1]:
        x = Convolution(block["expanded_filters"], activation=activation, name=f"{name}_expand", **options)(x)
    expanded = DepthwiseConvolution(
        block["kernel_size"],
        strides=grid_stride,
        atrous_rate=atrous_rate,
        activation=activation,
        name=f"{name}_depthwise",
        **options,
    )(x)
    x = expanded
    if block["squeeze_excite"]:
        x = SqueezeExcite(
            make_divisible(block["expanded_filters"] / 4),
            name=f"{name}_squeeze_excite",
            dtype=options["dtype"],
        )(x)
    x = Convolution(block["filters"], name=f"{name}_project", **options)(x)
    # A block whose stride turned into dilation still counts as strided: it has no shortcut.
    if block["strides"] == 1 and block["filters"] == inputs.shape[-1]:
        x = keras.layers.Add(name=f"{name}_add", dtype=options["dtype"])([inputs, x])
    return x, expanded


def make_divisible(filters: float, divisor: int = 8) -> int:
    """Rounds a channel count to a multiple of `divisor`, never below 90 % of it nor below `divisor`.

    Args:
        filters: float. Wanted number of channels.
        divisor: int.

    Returns:
        int.

    Example:
    ```python
    make_divisible(60)  # 64
    ```
    """
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded
