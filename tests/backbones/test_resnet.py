"""The residual family: strides, dilation, widths, attention and rates. Its numbers: test_parity."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.layers.axial_attention import AxialAttention2D
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.residual import ResidualBlock
from keras_deeplab.layers.stem import InceptionStem
from keras_deeplab.layers.switchable_atrous import SwitchableAtrousConvolution

NUMPY = ops.convert_to_numpy
# A sixteenth of the published widths: base widths of 4, 8, 16 and 32 in stages 2 to 5.
THIN = {"stem_width_multiplier": 1 / 16, "width_multiplier": 1 / 16}
WIDE = {"block_types": ("basic",) * 4 + ("wide_bottleneck",), "stem_kernel_size": 3}
SIZE = (65, 97)


def thin(**options):
    return ResNetBackbone(**{**THIN, "image_shape": (*SIZE, 3), **options})


def thin_variant(name, **options):
    return ResNetBackbone.from_variant(name, **{**THIN, "image_shape": (*SIZE, 3), **options})


def blocks(backbone, stage=None):
    """All residual blocks, or those of a stage, in order."""
    start = "" if stage is None else f"stage{stage}_"
    return [b for b in backbone.layers if isinstance(b, ResidualBlock) and b.name.startswith(start)]


def spatial(block):
    """`(strides, rate)` of a block's 3x3 convolutions."""
    found = [layer for layer in block.branch if getattr(layer, "kernel_size", 1) == 3]
    return [(layer.strides, layer.atrous_rate) for layer in found]


def widths(block):
    """Channels of a block's branch, layer by layer; of attention its base width."""
    return [
        layer.options["filters"] if isinstance(layer, AxialAttention2D) else layer.filters
        for layer in block.branch
    ]


def is_axial(block):
    return any(isinstance(layer, AxialAttention2D) for layer in block.branch)


@pytest.mark.parametrize(
    ("output_stride", "stage4", "stage5"),
    [
        (32, [(2, 1)] + [(1, 1)] * 5, [(2, 1), (1, 1), (1, 1)]),
        (16, [(2, 1)] + [(1, 1)] * 5, [(1, 1), (1, 2), (1, 2)]),
        (8, [(1, 1)] + [(1, 2)] * 5, [(1, 2), (1, 4), (1, 4)]),
    ],
)
def test_dilation_takes_over_one_block_later_in_bottlenecks(output_stride, stage4, stage5):
    backbone = thin(output_stride=output_stride)
    assert [spatial(block) for block in blocks(backbone, 2)] == [[(2, 1)], [(1, 1)], [(1, 1)]]
    assert [spatial(block) for block in blocks(backbone, 3)] == [[(2, 1)]] + [[(1, 1)]] * 3
    assert [spatial(block) for block in blocks(backbone, 4)] == [[each] for each in stage4]
    assert [spatial(block) for block in blocks(backbone, 5)] == [[each] for each in stage5]


@pytest.mark.parametrize(
    ("output_stride", "stage4", "stage5"),
    [
        (32, [[(2, 1), (1, 1)], [(1, 1), (1, 1)]], [[(2, 1)], [(1, 1)]]),
        (16, [[(2, 1), (1, 1)], [(1, 1), (1, 1)]], [[(1, 1)], [(1, 2)]]),
        # The second convolution of a stage's first basic block has the rate of the stage.
        (8, [[(1, 1), (1, 2)], [(1, 2), (1, 2)]], [[(1, 2)], [(1, 4)]]),
    ],
)
def test_dilation_takes_over_one_convolution_later_in_basic_blocks(output_stride, stage4, stage5):
    backbone = thin(blocks=(1, 1, 1, 2, 2), output_stride=output_stride, **WIDE)
    assert [spatial(block) for block in blocks(backbone, 1)] == [[(1, 1), (1, 1)]]
    assert [spatial(block) for block in blocks(backbone, 2)] == [[(2, 1), (1, 1)]]
    assert [spatial(block) for block in blocks(backbone, 4)] == stage4
    assert [spatial(block) for block in blocks(backbone, 5)] == stage5


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("options", [{}, {"axial_from_stride": 16}], ids=["convolutional", "axial"])
def test_features_have_the_strides_that_their_names_say(output_stride, options):
    backbone = thin(blocks=(0, 1, 1, 2, 2), output_stride=output_stride, **options)
    for level, channels in enumerate((4, 16, 32, 64, 128), start=1):
        stride = min(2**level, output_stride)
        expected = (64 // stride + 1, 96 // stride + 1, channels)
        assert tuple(backbone.output[f"res{level}"].shape[1:]) == expected


@pytest.mark.parametrize("family", [{"blocks": (0, 1, 1, 2, 3)}, {"blocks": (1, 1, 1, 2, 2), **WIDE}])
def test_dilation_computes_what_strides_do(family):
    images = np.random.default_rng(0).normal(size=(1, 33, 65, 3)).astype("float32")
    coarse, *finer = (thin(output_stride=s, image_shape=(33, 65, 3), **family) for s in (32, 16, 8))
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.0, w.shape) if w.ndim == 1 else w for w in coarse.get_weights()]
    coarse.set_weights(weights)
    expected = NUMPY(coarse(images)["res5"])
    assert expected.std() > 0.1
    for backbone in finer:
        backbone.set_weights(weights)
        step = 32 // backbone.output_stride
        features = NUMPY(backbone(images)["res5"])
        # Sums of at most 9 * 128 products in float32, over ten layers.
        np.testing.assert_allclose(
            features[:, ::step, ::step], expected, rtol=1e-4, atol=1e-4 * expected.std()
        )


def test_features_are_activated_and_blocks_are_not():
    backbone = thin(blocks=(0, 1, 1, 1, 1), image_shape=(33, 33, 3))
    block = backbone.get_layer("stage5_block1")
    inner = keras.Model(backbone.input, [block.output, backbone.output["res5"]])
    unactivated, feature = (
        NUMPY(x) for x in inner(np.random.default_rng(0).normal(size=(1, 33, 33, 3)).astype("float32"))
    )
    assert unactivated.min() < 0
    np.testing.assert_array_equal(feature, np.maximum(unactivated, 0))


def test_widths_of_bottlenecks():
    backbone = thin(blocks=(0, 1, 1, 1, 2))
    assert [widths(blocks(backbone, stage)[0]) for stage in range(2, 6)] == [
        [4, 4, 16],
        [8, 8, 32],
        [16, 16, 64],
        [32, 32, 128],
    ]


def test_widths_of_wide_resnets():
    backbone = thin(blocks=(1, 1, 1, 1, 1), **WIDE)
    assert [widths(block) for block in blocks(backbone)] == [
        [8, 8],
        [16, 16],
        [32, 32],
        [64, 64],
        [32, 64, 128],
    ]


def test_stage_1_has_the_width_of_the_stem():
    backbone = thin(blocks=(1, 1, 1, 1, 1), stem_width_multiplier=0.25, width_multiplier=1 / 8, **WIDE)
    assert backbone.get_layer("stem").filters == 16
    assert widths(blocks(backbone, 1)[0]) == [32, 32]
    assert widths(blocks(backbone, 2)[0]) == [32, 32]
    assert widths(blocks(backbone, 5)[0]) == [64, 128, 256]


@pytest.mark.parametrize(("multiplier", "counts"), [(1.0, [2, 1, 2, 3, 1]), (2.5, [2, 2, 5, 7, 2])])
def test_depth_grows_rounded_down_and_not_in_stage_1(multiplier, counts):
    backbone = thin(blocks=(2, 1, 2, 3, 1), depth_multiplier=multiplier, **WIDE)
    assert [len(blocks(backbone, stage)) for stage in range(1, 6)] == counts


@pytest.mark.parametrize(
    ("variant", "counts"),
    [
        ("wide_resnet41", [3, 3, 6, 3, 3]),
        ("swidernet_sac_1_1_3", [3, 9, 18, 9, 9]),
        ("resnet50", [0, 3, 4, 6, 3]),
    ],
)
def test_depth_of_published_networks(variant, counts):
    backbone = thin_variant(variant)
    assert [len(blocks(backbone, stage)) for stage in range(1, 6)] == counts


def test_attention_from_stride_16_leaves_the_strided_block_of_stage_4_convolutional():
    backbone = thin_variant("max_deeplab_s_backbone", output_stride=16)
    assert not any(is_axial(block) for stage in (2, 3) for block in blocks(backbone, stage))
    assert [is_axial(block) for block in blocks(backbone, 4)] == [False] + [True] * 5
    assert all(is_axial(block) for block in blocks(backbone, 5))


def test_widths_of_max_deeplab_s():
    # A sixteenth of (256, 256, 1024), (512, 256, 1024) and (1024, 512, 2048).
    backbone = thin_variant("max_deeplab_s_backbone")
    assert widths(blocks(backbone, 4)[0]) == [16, 16, 64]
    assert widths(blocks(backbone, 4)[1]) == [32, 16, 64]
    assert widths(blocks(backbone, 5)[0]) == [64, 32, 128]
    attention = blocks(backbone, 4)[1].branch[1]
    assert (attention.height_axis.key_depth, attention.height_axis.value_depth) == (16, 32)
    assert attention.height_axis.heads == 8


@pytest.mark.parametrize("variant", ["axial_swidernet_1_1_1", "max_deeplab_l_backbone"])
def test_widths_of_axial_swidernet(variant):
    # A sixteenth of (1024, 1024), (1024, 256, 1024) and (2048, 512, 2048).
    backbone = thin_variant(variant, blocks=(1, 1, 1, 2, 1))
    assert [widths(block) for block in blocks(backbone, 4)] == [[64, 64], [64, 16, 64]]
    assert [widths(block) for block in blocks(backbone, 5)] == [[128, 32, 128]]
    attention = blocks(backbone, 4)[1].branch[1]
    assert (attention.width_axis.key_depth, attention.width_axis.value_depth) == (32, 64)


def test_attention_from_stride_2_is_in_every_block():
    backbone = thin_variant("axial_resnet_l", blocks=(0, 1, 1, 1, 2), heads=4)
    assert all(is_axial(block) for block in blocks(backbone))
    strides = [block.branch[1].strides for block in blocks(backbone)]
    assert strides == [2, 2, 2, 2, 1]


def test_the_small_axial_resnet_has_half_the_width():
    backbone = ResNetBackbone.from_variant(
        "axial_resnet_s", blocks=(0, 1, 1, 1, 1), stem_width_multiplier=1 / 16, image_shape=(*SIZE, 3)
    )
    assert [block.branch[1].options["filters"] for block in blocks(backbone)] == [32, 64, 128, 256]


def test_the_attention_does_not_dilate():
    backbone = thin(blocks=(0, 1, 1, 1, 3), output_stride=16, axial_from_stride=16)
    assert all(block.strides == 1 for block in blocks(backbone, 5))
    lengths = {
        axis.batch_norm_similarity._broadcast_shape
        for block in blocks(backbone, 5)
        for axis in (block.branch[1].height_axis, block.branch[1].width_axis)
    }
    assert lengths == {(3, 1, 8, 1, 1)}


@pytest.mark.parametrize("output_stride", [16, 32])
def test_only_the_3x3_convolutions_of_stage_5_are_switchable(output_stride):
    backbone = thin_variant("swidernet_sac_1_1_1", blocks=(1, 1, 1, 1, 2), output_stride=output_stride)
    for block in blocks(backbone):
        kinds = [type(layer) for layer in block.branch]
        if block.name.startswith("stage5_"):
            assert kinds == [Convolution, SwitchableAtrousConvolution, Convolution]
        else:
            assert kinds == [Convolution, Convolution]
    first, second = (block.branch[1] for block in blocks(backbone, 5))
    assert (first.switch is None) == (output_stride == 32)
    assert (second.strides, second.atrous_rate) == (1, 32 // output_stride)


def test_basic_blocks_can_be_switchable():
    backbone = thin(blocks=(0, 1, 1, 1, 1), switchable_from_stride=16, **WIDE)
    assert [type(layer) for layer in blocks(backbone, 4)[0].branch] == [SwitchableAtrousConvolution] * 2
    assert [type(layer) for layer in blocks(backbone, 3)[0].branch] == [Convolution] * 2


def rates(backbone):
    return {block.name: round(block.drop_path.rate, 6) for block in blocks(backbone)}


def test_linear_drop_path_grows_with_the_stride_before_the_block():
    backbone = thin_variant("wide_resnet41", blocks=(2, 2, 2, 2, 2))
    assert rates(backbone) == {
        "stage1_block1": 0.0,
        "stage1_block2": 0.0,
        "stage2_block1": 0.0,
        "stage2_block2": 0.05,
        "stage3_block1": 0.05,
        "stage3_block2": 0.1,
        "stage4_block1": 0.1,
        "stage4_block2": 0.15,
        "stage5_block1": 0.15,
        "stage5_block2": 0.2,
    }


@pytest.mark.parametrize("output_stride", [8, 32])
def test_drop_path_from_stride_16_counts_strides_without_dilation(output_stride):
    backbone = thin_variant("max_deeplab_s_backbone", blocks=(0, 1, 1, 2, 2), output_stride=output_stride)
    assert rates(backbone) == {
        "stage2_block1": 0.0,
        "stage3_block1": 0.0,
        "stage4_block1": 0.0,
        "stage4_block2": 0.15,
        "stage5_block1": 0.15,
        "stage5_block2": 0.2,
    }


def test_constant_drop_path_is_the_same_from_its_stride_on():
    backbone = thin(blocks=(0, 1, 2, 1, 1), drop_path_rate=0.3, drop_path_from_stride=8)
    assert list(rates(backbone).values()) == [0.0, 0.0, 0.3, 0.3, 0.3]


@pytest.mark.parametrize("variant", ["resnet50", "resnet50_beta", "axial_resnet_l"])
def test_resnets_drop_nothing(variant):
    backbone = thin_variant(variant, blocks=(0, 1, 1, 2, 1), heads=4)
    assert set(rates(backbone).values()) == {0.0}


@pytest.mark.parametrize("squeeze_excite", [True, False])
def test_squeeze_excite_is_in_every_block_or_in_none(squeeze_excite):
    backbone = thin(blocks=(0, 1, 1, 1, 1), squeeze_excite=squeeze_excite)
    assert [block.squeeze_excite is not None for block in blocks(backbone)] == [squeeze_excite] * 4


@pytest.mark.parametrize("recompute", [True, False])
def test_recomputation_reaches_all_blocks(recompute):
    options = {"blocks": (1, 1, 1, 2, 1), "recompute": recompute, "output_stride": 16}
    backbone = thin_variant("max_deeplab_l_backbone", **options)
    assert {block.recompute for block in blocks(backbone)} == {recompute}
    assert len(blocks(backbone)) == 6 + 4


@pytest.mark.parametrize(
    ("output_stride", "path"), [(8, [4, 8]), (16, [8, 4, 8, 16]), (32, [16, 8, 4, 8, 16, 32])]
)
def test_the_stacked_decoder_goes_up_to_stride_4_and_back(output_stride, path):
    backbone = thin_variant("max_deeplab_l_backbone", blocks=(1, 1, 1, 1, 1), output_stride=output_stride)
    decoder = [block for block in blocks(backbone) if block.name.startswith("decoder_")]
    sizes = [(64 // stride + 1, 96 // stride + 1) for stride in path]
    assert [tuple(block.output.shape[1:3]) for block in decoder] == sizes
    assert tuple(backbone.output["backbone_output"].shape[1:]) == (*sizes[-1], 128)


def test_decoders_stack():
    options = {"blocks": (1, 1, 1, 1, 1), "output_stride": 16, "decoder_stacks": 2}
    backbone = thin_variant("max_deeplab_l_backbone", **options)
    assert sum(block.name.startswith("decoder_") for block in blocks(backbone)) == 8


def test_without_a_decoder_the_features_are_those_of_the_stages():
    assert set(thin(blocks=(0, 1, 1, 1, 1)).output) == {"res1", "res2", "res3", "res4", "res5"}


def test_stems():
    plain = thin_variant("resnet50", blocks=(0, 1, 1, 1, 1)).get_layer("stem")
    assert (plain.kernel_size, plain.strides, plain.filters, plain.activation) == (7, 2, 4, None)
    wide = thin_variant("wide_resnet41", blocks=(1, 1, 1, 1, 1)).get_layer("stem")
    assert (wide.kernel_size, wide.strides) == (3, 2)
    beta = thin_variant("resnet50_beta", blocks=(0, 1, 1, 1, 1)).get_layer("stem")
    assert isinstance(beta, InceptionStem)
    assert [layer.filters for layer in beta.convolutions] == [4, 4, 8]


def test_the_activation_reaches_every_layer():
    backbone = thin_variant("axial_resnet50_gelu", blocks=(0, 1, 1, 2, 1))
    assert backbone.get_layer("stem").convolutions[0].activation == "gelu"
    assert backbone.get_layer("res5").activation is keras.activations.gelu
    for block in blocks(backbone):
        assert block.activation == "gelu"
        assert block.branch[0].activation == "gelu"
        assert block.branch[-1].activation is None


def test_branches_end_with_a_scale_of_zero():
    for block in blocks(thin(blocks=(1, 1, 1, 2, 1), axial_from_stride=16, **WIDE)):
        assert not NUMPY(block.branch[-1].batch_norm.gamma).any(), block.name


def test_the_precision_reaches_every_layer():
    backbone = thin(blocks=(1, 1, 1, 2, 1), dtype="mixed_bfloat16", axial_from_stride=16, **WIDE)
    assert {layer.compute_dtype for layer in backbone.layers[1:]} == {"bfloat16"}
    assert {layer.compute_dtype for block in blocks(backbone) for layer in block.branch} == {"bfloat16"}


@pytest.mark.parametrize(
    "options",
    [
        {"stem": "inception", "output_stride": 16, "squeeze_excite": True, "recompute": True},
        {**WIDE, "drop_path_rate": 0.2, "drop_path_schedule": "linear", "switchable_from_stride": 32},
        {"axial_from_stride": 16, "key_expansion": 2, "decoder_stacks": 1, "activation": "gelu"},
        {"dtype": "mixed_bfloat16", "image_shape": (None, None, 3), "batch_norm_epsilon": 1e-5},
    ],
)
def test_the_configuration_builds_the_same_network(options):
    backbone = thin(blocks=(1, 1, 1, 2, 1), **options)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert copy.get_config() == backbone.get_config()
    assert copy.config == backbone.config
    assert [(v.path, v.shape) for v in copy.weights] == [(v.path, v.shape) for v in backbone.weights]
    for ours, theirs in zip(blocks(copy), blocks(backbone), strict=True):
        assert ours.get_config() == theirs.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "patch"}, r"`stem` must be one of .*'patch'"),
        ({"blocks": (3, 4, 6, 3)}, r"`blocks` must hold 5 numbers.*\(3, 4, 6, 3\)"),
        ({"blocks": (0, 3, 4, 0, 3)}, "only the first may be 0"),
        ({"block_types": ("basic",) * 4}, "`block_types` must hold 5 of"),
        ({"block_types": ("basic",) * 4 + ("axial",)}, "`block_types` must hold 5 of.*'axial'"),
        ({"axial_from_stride": 16, "image_shape": (None, 97, 3)}, "Give `image_shape` a height and a width"),
        ({"decoder_stacks": 1, "image_shape": (None, None, 3)}, "Give `image_shape` a height and a width"),
        (
            {"drop_path_rate": 0.1, "drop_path_schedule": "cosine"},
            "`drop_path_schedule` must be one of",
        ),
        ({"drop_path_rate": 1.0}, r"`rate` must lie in \[0, 1\)"),
    ],
)
def test_malformed_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        thin(**arguments)
