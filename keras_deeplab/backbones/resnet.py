"""The residual family: ResNet, Wide-ResNet, SWideRNet, Axial-ResNet and the backbones of MaX-DeepLab.

He et al. 2016 (arXiv 1512.03385), Chen et al. 2020 (SWideRNet, arXiv 2011.11675), Wang et al. 2020
(Axial-DeepLab, arXiv 2003.07853) and 2021 (MaX-DeepLab, arXiv 2012.00759).
"""

from __future__ import annotations

import keras

from keras_deeplab.backbones.backbone import Backbone, check_backbone_arguments, check_keyword_arguments
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.drop_path import scheduled_rate
from keras_deeplab.layers.residual import ResidualBlock, attention_branch, basic_branch, bottleneck_branch
from keras_deeplab.layers.resized_fuse import ResizedFuse
from keras_deeplab.layers.stem import InceptionStem

# What makes the branch of a block, and the channels of its convolutions in base widths of the stage.
BLOCK_TYPES = {
    "basic": (basic_branch, (4, 4)),
    "bottleneck": (bottleneck_branch, (1, 1, 4)),
    "wide_bottleneck": (bottleneck_branch, (1, 2, 4)),
}
STEMS = ("convolution", "inception")
# Stride of the finest features that the stacked decoder returns to.
FINEST_DECODER_STRIDE = 4


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ResNetBackbone(Backbone):
    """One residual network with many faces; `backbones/variants.toml` names the published ones.

    There is no max-pooling: the second stage's first block carries the stride. Features are `res1` to
    `res5`; with a stacked decoder also `backbone_output`, the decoder's last features at `output_stride`.

    Args:
        blocks: five int. Number of blocks in stages 1 to 5; without blocks in the first stage, `res1` is
            the stem's output.
        block_types: five str, one per stage: `"basic"`, `"bottleneck"` or `"wide_bottleneck"`.
        stem: str. `"convolution"` or `"inception"` (three 3x3 convolutions: the "beta" networks).
        stem_kernel_size: int. Kernel of the convolution stem.
        stem_width_multiplier: float. Scales the channels of the stem and of stage 1 (SWideRNet's w1).
        width_multiplier: float. Scales the channels of stages 2 to 5 (SWideRNet's w2).
        depth_multiplier: float. Scales the number of blocks in stages 2 to 5 (SWideRNet's l).
        output_stride: int, 8, 16 or 32. Stages beyond it keep their resolution and dilate instead.
        axial_from_stride: int or `None`. Blocks whose input has this stride or a coarser one attend along
            the image's axes instead of convolving. Needs an `image_shape` with height and width.
        attention_expansion: int. Channels before the attention, in base widths of the stage.
        key_expansion: int. Channels of the attention's queries and keys, in base widths.
        value_expansion: int. Channels of its values, in base widths.
        heads: int. Number of attention heads.
        switchable_from_stride: int or `None`. Stages whose output has this stride or a coarser one use
            switchable atrous convolutions ("SAC").
        squeeze_excite: bool. Blocks weigh the channels of their branch.
        drop_path_rate: float. Share of images that skip a block's branch while training.
        drop_path_schedule: str. `"constant"`, or `"linear"`: growing with the stage up to the rate.
        drop_path_from_stride: int. Blocks whose input is finer never skip.
        decoder_stacks: int. Times that a decoder goes up to stride 4 and back down (MaX-DeepLab-L: 1).
        recompute: bool. Compute every block a second time for its gradient, to save memory.
        activation: str. Name of a Keras activation.
        image_shape: `(height, width, channels)`; sides may be `None` where no block is axial.
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
        blocks: tuple[int, ...] = (0, 3, 4, 6, 3),
        block_types: tuple[str, ...] = ("bottleneck",) * 5,
        stem: str = "convolution",
        stem_kernel_size: int = 7,
        stem_width_multiplier: float = 1.0,
        width_multiplier: float = 1.0,
        depth_multiplier: float = 1.0,
        output_stride: int = 32,
        axial_from_stride: int | None = None,
        attention_expansion: int = 2,
        key_expansion: int = 1,
        value_expansion: int = 2,
        heads: int = 8,
        switchable_from_stride: int | None = None,
        squeeze_excite: bool = False,
        drop_path_rate: float = 0.0,
        drop_path_schedule: str = "constant",
        drop_path_from_stride: int = 16,
        decoder_stacks: int = 0,
        recompute: bool = False,
        activation: str = "relu",
        image_shape: tuple[int | None, int | None, int] = (None, None, 3),
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        dtype=None,
        **kwargs,
    ):
        check_keyword_arguments(type(self), kwargs)
        image_shape = check_backbone_arguments(output_stride, image_shape)
        config = {
            "blocks": tuple(blocks),
            "block_types": tuple(block_types),
            "stem": stem,
            "stem_kernel_size": stem_kernel_size,
            "stem_width_multiplier": stem_width_multiplier,
            "width_multiplier": width_multiplier,
            "depth_multiplier": depth_multiplier,
            "output_stride": output_stride,
            "axial_from_stride": axial_from_stride,
            "attention_expansion": attention_expansion,
            "key_expansion": key_expansion,
            "value_expansion": value_expansion,
            "heads": heads,
            "switchable_from_stride": switchable_from_stride,
            "squeeze_excite": squeeze_excite,
            "drop_path_rate": drop_path_rate,
            "drop_path_schedule": drop_path_schedule,
            "drop_path_from_stride": drop_path_from_stride,
            "decoder_stacks": decoder_stacks,
            "recompute": recompute,
            "activation": activation,
            "image_shape": image_shape,
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
        }
        _check(config)
        images = keras.Input(image_shape, name="images")
        features = _backbone_features(images, config, dtype)
        super().__init__(inputs=images, outputs=features, dtype=dtype, **kwargs)
        self.input_spec = keras.layers.InputSpec(shape=(None, *image_shape))

        self.config = config
        self.output_stride = output_stride
        self.axial_from_stride = axial_from_stride
        self.image_shape = image_shape
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon

    def get_config(self):
        return {**super().get_config(), **self.config}


def _check(config):
    """Raises a `ValueError` that names the argument which does not make sense."""
    if config["stem"] not in STEMS:
        raise ValueError(f"`stem` must be one of {STEMS}. Received: {config['stem']!r}")
    if len(config["blocks"]) != 5 or any(count < 1 for count in config["blocks"][1:]):
        raise ValueError(
            "`blocks` must hold 5 numbers, for stages 1 to 5, and only the first may be 0. "
            f"Received: {config['blocks']}"
        )
    types = config["block_types"]
    if len(types) != 5 or not set(types) <= set(BLOCK_TYPES):
        raise ValueError(f"`block_types` must hold 5 of {tuple(BLOCK_TYPES)}. Received: {types}")
    needs_size = config["axial_from_stride"] is not None or config["decoder_stacks"]
    if needs_size and None in config["image_shape"]:
        raise ValueError(
            "Axial attention and the stacked decoder need to know the size of the image. "
            "Give `image_shape` a height and a width, "
            f"e.g. (1025, 2049, 3). Received: {config['image_shape']}"
        )


def _backbone_features(images, config, dtype):
    """Named features of the whole network: activated, at the strides that their names say."""
    x = _stem(images, config, dtype)
    stages = {1: x}
    for stage, count in enumerate(config["blocks"], start=1):
        count = count if stage == 1 else int(count * config["depth_multiplier"])
        for number in range(1, count + 1):
            # The nominal stride of the block's input; stage 1 follows the stem without a stride.
            before = 2 ** (max(stage, 2) - 1) if number == 1 else 2**stage
            strides = 2 if before < min(2**stage, config["output_stride"]) else 1
            name = f"stage{stage}_block{number}"
            x = _residual_block(config, before, 2**stage, strides, name, dtype)(x)
        stages[stage] = x

    def activate(x, name):
        return keras.layers.Activation(config["activation"], dtype=dtype, name=name)(x)

    features = {f"res{stage}": activate(x, f"res{stage}") for stage, x in stages.items()}
    if config["decoder_stacks"]:
        features["backbone_output"] = activate(_decode(stages, config, dtype), "backbone_output")
    return features


def _stem(images, config, dtype):
    filters = round(64 * config["stem_width_multiplier"])
    options = _normalization(config, dtype)
    if config["stem"] == "inception":
        return InceptionStem(filters, activation=config["activation"], name="stem", **options)(images)
    return Convolution(filters, config["stem_kernel_size"], strides=2, name="stem", **options)(images)


def _residual_block(config, before, after, strides, name, dtype):
    """The block between two nominal strides, those that features would have without dilation."""
    options = {"activation": config["activation"], **_normalization(config, dtype)}
    stage = after.bit_length() - 1
    multiplier = config["stem_width_multiplier" if stage == 1 else "width_multiplier"]
    width = round(16 * after * multiplier)
    rate, next_rate = (max(1, stride // config["output_stride"]) for stride in (before, after))
    if _reaches(before, config["axial_from_stride"]):
        branch = attention_branch(
            (config["attention_expansion"] * width, width, 4 * width),
            strides,
            key_expansion=config["key_expansion"],
            value_expansion=config["value_expansion"],
            heads=config["heads"],
            **options,
        )
    else:
        make_branch, multiples = BLOCK_TYPES[config["block_types"][stage - 1]]
        branch = make_branch(
            tuple(multiple * width for multiple in multiples),
            strides,
            # A stage's first convolution still has the rate of the stage before.
            (rate, next_rate) if make_branch is basic_branch else rate,
            switchable=_reaches(after, config["switchable_from_stride"]),
            **options,
        )
    drop_path_rate = 0.0
    if before >= config["drop_path_from_stride"]:
        drop_path_rate = scheduled_rate(
            config["drop_path_rate"], config["drop_path_schedule"], before.bit_length() - 2, num_stages=4
        )
    return ResidualBlock(
        branch,
        strides,
        squeeze_excite=config["squeeze_excite"],
        drop_path_rate=drop_path_rate,
        recompute=config["recompute"],
        name=name,
        **options,
    )


def _decode(stages, config, dtype):
    """Up to stride 4 and back to the output stride, fusing features of the same size on the way.

    MaX-DeepLab's appendix calls this the stacked decoder (Wang et al. 2021, section 3.4 and figure 4).
    """
    output_stride = config["output_stride"]
    history = {min(2**stage, output_stride): [x] for stage, x in stages.items()}
    x = stages[5]
    up = [stride for stride in (16, 8, FINEST_DECODER_STRIDE) if stride < output_stride]
    strides = [*up, *up[-2::-1], output_stride] * config["decoder_stacks"]
    for number, stride in enumerate(strides, start=1):
        # The coarsest features count as the last stage's, whatever dilation kept them at.
        nominal = 32 if stride == output_stride else stride
        fuse = ResizedFuse(
            round(64 * nominal * config["width_multiplier"]),
            activation=config["activation"],
            name=f"decoder_stage{number}_fuse",
            **_normalization(config, dtype),
        )
        x = fuse([x, *history[stride][-2:]], history[stride][-1])
        x = _residual_block(config, nominal, nominal, 1, f"decoder_stage{number}_block1", dtype)(x)
        history[stride].append(x)
    return x


def _reaches(stride, threshold):
    return threshold is not None and stride >= threshold


def _normalization(config, dtype):
    return {
        "batch_norm_momentum": config["batch_norm_momentum"],
        "batch_norm_epsilon": config["batch_norm_epsilon"],
        "dtype": dtype,
    }
