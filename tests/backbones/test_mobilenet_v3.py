"""MobileNetV3: strides, channels and the squeeze-and-excite gate. Its numbers are tested with the model."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.backbones.mobilenet_v3 import MobileNetV3Backbone, SqueezeExcite, make_divisible
from tests.references import SOURCES, load_component


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize(
    ("variant", "channels"),
    [("mobilenet_v3_small", (16, 16, 88, 144, 576)), ("mobilenet_v3_large", (16, 72, 120, 672, 960))],
)
def test_features_keep_their_names_at_every_output_stride(variant, channels, output_stride):
    backbone = MobileNetV3Backbone.from_variant(variant, output_stride=output_stride, image_shape=(65, 97, 3))
    for level, filters in enumerate(channels, start=1):
        stride = min(2**level, output_stride)
        expected = (64 // stride + 1, 96 // stride + 1, filters)
        assert tuple(backbone.output[f"res{level}"].shape[1:]) == expected


def test_a_strided_layer_dilates_the_ones_behind_it():
    backbone = MobileNetV3Backbone.from_variant("mobilenet_v3_small", output_stride=8)
    rates = [backbone.get_layer(f"block{i}_depthwise").atrous_rate for i in range(1, 12)]
    assert rates == [1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4]


def test_the_gate_scales_whole_channels():
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")
    gate = ops.convert_to_numpy(SqueezeExcite(4)(images)) / images
    assert gate.min() > 0
    assert gate.max() < 1
    np.testing.assert_allclose(gate, np.broadcast_to(gate[:, :1, :1], gate.shape), rtol=1e-4)


@pytest.mark.parametrize(("filters", "expected"), [(4, 8), (60, 64), (30, 32), (36, 40), (72, 72), (11, 16)])
def test_make_divisible(filters, expected):
    assert make_divisible(filters) == expected


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_make_divisible_agrees_with_deeplab2():
    _, meta = load_component("c04_preprocess", "full")
    for case in meta["cases"]["make_divisible"]:
        assert make_divisible(case["value"], case["divisor"]) == case["out"]


def test_the_configuration_builds_the_same_network():
    backbone = MobileNetV3Backbone.from_variant("mobilenet_v3_small", output_stride=16)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert [v.path for v in copy.weights] == [v.path for v in backbone.weights]
    assert copy.get_config() == backbone.get_config()
