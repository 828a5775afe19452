"""Variants by name, presets, and the arguments that all backbones check."""

import numpy as np
import pytest

from keras_deeplab.backbones import Backbone, MobileNetV3Backbone, ResNetBackbone
from keras_deeplab.backbones.backbone import check_backbone_arguments

PUBLISHED = {
    *("resnet50", "resnet50_beta", "wide_resnet41", "swidernet", "axial_swidernet", "axial_resnet_s"),
    *("axial_resnet_l", "axial_deeplab_s", "axial_deeplab_l", "max_deeplab_s_backbone"),
    *("max_deeplab_l_backbone", "axial_resnet50_gelu"),
}


def test_the_residual_networks_of_deeplab2_have_names():
    assert set(ResNetBackbone.variants()) >= PUBLISHED


def test_every_variant_belongs_to_one_class():
    assert set(Backbone.variants()) == {*ResNetBackbone.variants(), *MobileNetV3Backbone.variants()}
    assert not set(ResNetBackbone.variants()) & set(MobileNetV3Backbone.variants())


def test_the_base_class_finds_the_class_of_a_variant():
    backbone = Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3))
    assert type(backbone) is MobileNetV3Backbone
    assert backbone.image_shape == (33, 33, 3)


def test_given_arguments_replace_those_of_the_variant():
    backbone = Backbone.from_variant("mobilenet_v3_small", output_stride=8, batch_norm_epsilon=1e-5)
    assert (backbone.output_stride, backbone.batch_norm_epsilon) == (8, 1e-5)
    again = Backbone.from_variant("mobilenet_v3_small")
    assert (again.output_stride, again.batch_norm_epsilon) == (32, 1e-3)


def test_an_unknown_variant_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'resnet51'.*resnet50, resnet50_beta"):
        ResNetBackbone.from_variant("resnet51")


def test_a_variant_of_another_class_is_refused():
    with pytest.raises(ValueError, match="MobileNetV3Backbone has no variant 'resnet50'"):
        MobileNetV3Backbone.from_variant("resnet50")


@pytest.mark.parametrize("backbone_class", [ResNetBackbone, MobileNetV3Backbone])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_stride": 4}, "`output_stride` must be one of"),
        ({"output_stride": 64}, "`output_stride` must be one of"),
        ({"image_shape": (33, 33)}, "`image_shape` must be"),
        ({"image_shape": (33, 33, None)}, "`image_shape` must be"),
        ({"image_shape": (0, 33, 3)}, "`image_shape` must be"),
    ],
)
def test_malformed_arguments_are_named(backbone_class, arguments, message):
    variant = backbone_class.variants()[0]
    with pytest.raises(ValueError, match=message):
        backbone_class.from_variant(variant, **arguments)


@pytest.mark.parametrize("variant", ["resnet50", "mobilenet_v3_small"])
def test_unknown_arguments_are_named_with_the_known_ones(variant):
    with pytest.raises(TypeError, match=r"Backbone has no argument 'dropout'.*image_shape"):
        Backbone.from_variant(variant, dropout=0.1)


@pytest.mark.parametrize("shape", [(1, 33, 33, 1), (1, 33, 33, 4), (1, 65, 33, 3)])
def test_images_of_another_shape_are_refused(shape):
    backbone = Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 33, 33, 3\)"):
        backbone(np.zeros(shape, "float32"))


def test_sides_of_an_image_may_be_unknown():
    assert check_backbone_arguments(16, [None, 33, 3]) == (None, 33, 3)


def test_a_preset_of_another_class_is_refused(tmp_path):
    Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3)).save_to_preset(tmp_path / "preset")
    assert type(Backbone.from_preset(tmp_path / "preset")) is MobileNetV3Backbone
    with pytest.raises(ValueError, match="holds a MobileNetV3Backbone, not a ResNetBackbone"):
        ResNetBackbone.from_preset(tmp_path / "preset")


def test_a_preset_keeps_every_weight_and_argument(tmp_path):
    backbone = ResNetBackbone(
        blocks=(1, 1, 1, 1, 1), block_types=("basic",) * 5, stem_width_multiplier=0.125,
        width_multiplier=0.0625, drop_path_rate=0.2, image_shape=(33, 33, 3),
    )  # fmt: skip
    backbone.save_to_preset(tmp_path / "preset")
    copy = Backbone.from_preset(tmp_path / "preset")
    assert type(copy) is ResNetBackbone
    assert copy.config == backbone.config
    for ours, theirs in zip(copy.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
