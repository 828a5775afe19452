"""ResNet-50: strides, dilation and sizes. Its numbers are tested with the whole model."""

import keras
import pytest

from keras_deeplab.backbones.resnet import ResNetBackbone


def rates(backbone, stage):
    blocks = [layer for layer in backbone.layers if layer.name.startswith(f"stage{stage}_")]
    return [(block.strides, block.atrous_rate) for block in blocks]


@pytest.mark.parametrize(
    ("output_stride", "stage4", "stage5"),
    [
        (32, [(2, 1)] + [(1, 1)] * 5, [(2, 1), (1, 1), (1, 1)]),
        (16, [(2, 1)] + [(1, 1)] * 5, [(1, 1), (1, 2), (1, 2)]),
        (8, [(1, 1)] + [(1, 2)] * 5, [(1, 2), (1, 4), (1, 4)]),
    ],
)
def test_dilation_takes_over_one_block_later(output_stride, stage4, stage5):
    backbone = ResNetBackbone(output_stride=output_stride, image_shape=(65, 97, 3))
    assert rates(backbone, 4) == stage4
    assert rates(backbone, 5) == stage5
    size = (64 // output_stride + 1, 96 // output_stride + 1)
    assert tuple(backbone.output["res5"].shape[1:3]) == size
    assert tuple(backbone.output["res2"].shape[1:]) == (17, 25, 256)


def test_the_configuration_builds_the_same_network():
    backbone = ResNetBackbone(blocks=(1, 1, 1, 1), stem="inception", image_shape=(33, 33, 3))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert [v.path for v in copy.weights] == [v.path for v in backbone.weights]
    assert copy.get_config() == backbone.get_config()
