"""Residual networks with dilated last stages (He et al. 2016; Chen et al. 2018, arXiv 1706.05587)."""

from __future__ import annotations

import keras

from keras_deeplab.backbones.backbone import Backbone, check_backbone_arguments
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.residual import BottleneckBlock
from keras_deeplab.layers.stem import InceptionStem

STEMS = ("convolution", "inception")


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ResNetBackbone(Backbone):
    """ResNet-50 and its relatives, without max-pooling: the second stage's first block carries the stride.

    Args:
        blocks: sequence of 4 int. Number of blocks in stages 2 to 5.
        stem: str. `"convolution"` (7x7) or `"inception"` (three 3x3: the "beta" networks).
        stem_filters: int. Channels of the stem's first convolution.
        output_stride: int, 8, 16 or 32. Stages beyond it keep their resolution and dilate instead.
        activation: str. Name of a Keras activation.
        image_shape: `(height, width, channels)`; sides may be `None`.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    Example:
    ```python
    backbone = ResNetBackbone.from_variant("resnet50_beta", output_stride=16)
    backbone(keras.ops.ones((1, 65, 129, 3)))["res4"].shape  # (1, 5, 9, 1024)
    ```
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        stem: str = "convolution",
        stem_filters: int = 64,
        output_stride: int = 32,
        activation: str = "relu",
        image_shape: tuple[int | None, int | None, int] = (None, None, 3),
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        dtype=None,
        **kwargs,
    ):
        image_shape = check_backbone_arguments(output_stride, image_shape)
        if stem not in STEMS:
            raise ValueError(f"`stem` must be one of {STEMS}. Received: {stem!r}")
        if len(blocks) != 4:
            raise ValueError(f"`blocks` must hold 4 numbers, for stages 2 to 5. Received: {blocks}")
        options = {
            "activation": activation,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "dtype": dtype,
        }
        images = keras.Input(image_shape, name="images")
        if stem == "convolution":
            x = Convolution(
                stem_filters, kernel_size=7, strides=2, name="stem", **{**options, "activation": None}
            )(images)
        else:
            x = InceptionStem(stem_filters, name="stem", **options)(images)
        stages = {1: x}
        for stage, count in enumerate(blocks, start=2):
            for block in range(1, count + 1):
                strides, atrous_rate = _strides_and_rate(stage, block, output_stride)
                x = BottleneckBlock(
                    32 * 2 ** (stage - 1), strides, atrous_rate, name=f"stage{stage}_block{block}", **options
                )(x)
            stages[stage] = x
        features = {
            f"res{stage}": keras.layers.Activation(activation, dtype=dtype, name=f"res{stage}")(x)
            for stage, x in stages.items()
        }
        super().__init__(inputs=images, outputs=features, dtype=dtype, **kwargs)

        self.blocks = tuple(blocks)
        self.stem = stem
        self.stem_filters = stem_filters
        self.output_stride = output_stride
        self.activation = activation
        self.image_shape = image_shape
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon

    def get_config(self):
        return {
            **super().get_config(),
            "blocks": self.blocks,
            "stem": self.stem,
            "stem_filters": self.stem_filters,
            "output_stride": self.output_stride,
            "activation": self.activation,
            "image_shape": self.image_shape,
            "batch_norm_momentum": self.batch_norm_momentum,
            "batch_norm_epsilon": self.batch_norm_epsilon,
        }


def _strides_and_rate(stage, block, output_stride):
    """A stage strides while its input is finer than `output_stride`; later ones dilate, one block behind."""
    stride_in, stride_out = 2 ** (stage - 1), 2**stage
    if block == 1:
        return (2 if stride_in < output_stride else 1), max(1, stride_in // output_stride)
    return 1, max(1, stride_out // output_stride)
