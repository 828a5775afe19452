"""What decoders take from the backbone: rates by output stride, the pooling window, normalisation."""

import functools

import keras
import pytest

from keras_deeplab.backbones import MobileNetV3Backbone, ResNetBackbone
from keras_deeplab.models.context import context_options, normalization_options


@functools.cache
def small_backbone(**options):
    return ResNetBackbone(
        blocks=(0, 1, 1, 1, 1),
        stem_width_multiplier=0.125,
        width_multiplier=0.0625,
        **{"image_shape": (33, 49, 3), **options},
    )


@pytest.mark.parametrize(("output_stride", "rates"), [(32, (3, 6, 9)), (16, (6, 12, 18)), (8, (12, 24, 36))])
def test_rates_look_at_the_same_context_at_every_output_stride(output_stride, rates):
    backbone = small_backbone(output_stride=output_stride)
    assert context_options(backbone, None, None) == {"atrous_rates": rates, "pooling_window": None}


def test_rates_of_a_mobile_backbone():
    backbone = MobileNetV3Backbone.from_variant("mobilenet_v3_small", output_stride=16)
    assert context_options(backbone, None, None)["atrous_rates"] == (6, 12, 18)


@pytest.mark.parametrize("axial_from_stride", [16, 32])
def test_on_axial_attention_only_a_projection_is_left(axial_from_stride):
    axial = small_backbone(axial_from_stride=axial_from_stride)
    assert context_options(axial, None, None)["atrous_rates"] == ()


@pytest.mark.parametrize("rates", [(1, 2, 3), [1, 2, 3], ()])
@pytest.mark.parametrize("axial_from_stride", [None, 16])
def test_given_rates_come_first(axial_from_stride, rates):
    backbone = small_backbone(axial_from_stride=axial_from_stride)
    assert context_options(backbone, rates, None)["atrous_rates"] == tuple(rates)


@pytest.mark.parametrize(
    ("output_stride", "crop", "window"),
    [
        (16, (1025, 2049), (65, 129)),
        (32, (1025, 2049), (33, 65)),
        (8, (641, 641), (81, 81)),
        (32, (385, 1249), (13, 40)),
        # Corners stay: int((n - 1) / 16 + 1), for sizes that do not fit too.
        (16, (512, 640), (32, 40)),
        (16, (1, 17), (1, 2)),
    ],
)
def test_the_pooling_window_covers_the_crop(output_stride, crop, window):
    backbone = small_backbone(output_stride=output_stride)
    assert context_options(backbone, None, crop)["pooling_window"] == window


def test_another_kind_of_backbone_is_named():
    with pytest.raises(ValueError, match="`backbone` must be a `Backbone` of this package"):
        context_options(keras.Sequential([keras.Input((33, 33, 3))]), None, None)


@pytest.mark.parametrize("rates", [(6,), (6, 12), (3, 6, 9, 12)])
def test_a_wrong_number_of_rates_is_named(rates):
    with pytest.raises(ValueError, match="`atrous_rates` must hold three rates, or none"):
        context_options(small_backbone(), rates, None)


def test_normalization_is_that_of_the_backbone():
    backbone = small_backbone(batch_norm_momentum=0.9, batch_norm_epsilon=1e-5, dtype="mixed_bfloat16")
    options = normalization_options(backbone, None)
    assert (options["batch_norm_momentum"], options["batch_norm_epsilon"]) == (0.9, 1e-5)
    assert options["dtype"].name == "mixed_bfloat16"


def test_a_given_epsilon_comes_first():
    assert normalization_options(small_backbone(), 1e-6)["batch_norm_epsilon"] == 1e-6
