"""Variants by name, and the arguments that all backbones check."""

import pytest

from keras_deeplab.backbones import Backbone, MobileNetV3Backbone, ResNetBackbone


def test_every_variant_belongs_to_one_class():
    assert set(Backbone.variants()) == {*ResNetBackbone.variants(), *MobileNetV3Backbone.variants()}
    assert not set(ResNetBackbone.variants()) & set(MobileNetV3Backbone.variants())


def test_the_base_class_finds_the_class_of_a_variant():
    backbone = Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3))
    assert type(backbone) is MobileNetV3Backbone
    assert backbone.image_shape == (33, 33, 3)


def test_an_unknown_variant_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'resnet51'.*resnet50, resnet50_beta"):
        ResNetBackbone.from_variant("resnet51")


def test_a_variant_of_another_class_is_refused():
    with pytest.raises(ValueError, match="MobileNetV3Backbone has no variant 'resnet50'"):
        MobileNetV3Backbone.from_variant("resnet50")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_stride": 4}, "`output_stride` must be one of"),
        ({"image_shape": (33, 33)}, "`image_shape` must be"),
        ({"image_shape": (33, 33, None)}, "`image_shape` must be"),
        ({"stem": "patch"}, "`stem` must be one of"),
        ({"blocks": (3, 4)}, "`blocks` must hold 4"),
    ],
)
def test_malformed_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNetBackbone(**arguments)


def test_a_preset_of_another_class_is_refused(tmp_path):
    Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3)).save_to_preset(tmp_path / "preset")
    assert type(Backbone.from_preset(tmp_path / "preset")) is MobileNetV3Backbone
    with pytest.raises(ValueError, match="holds a MobileNetV3Backbone, not a ResNetBackbone"):
        ResNetBackbone.from_preset(tmp_path / "preset")
