"""The bottleneck block: what is activated, what is strided, what starts at zero."""

import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.residual import BottleneckBlock

NUMPY = ops.convert_to_numpy


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_fresh_block_passes_its_activated_input_on():
    images = random(1, 5, 6, 8)
    np.testing.assert_allclose(NUMPY(BottleneckBlock(2)(images)), np.maximum(images, 0), atol=1e-6)


def test_a_strided_identity_takes_every_second_pixel():
    images = random(1, 5, 6, 8)
    result = NUMPY(BottleneckBlock(2, strides=2)(images))
    np.testing.assert_allclose(result, np.maximum(images, 0)[:, ::2, ::2], atol=1e-6)


def test_another_width_is_projected():
    block = BottleneckBlock(2, strides=2)
    images = random(1, 5, 6, 3)
    expected = NUMPY(block(images))
    assert expected.shape == (1, 3, 3, 8)
    np.testing.assert_allclose(expected, NUMPY(block.shortcut(np.maximum(images, 0))), atol=1e-6)


def test_the_sum_is_not_activated():
    block = BottleneckBlock(2)
    block.build((None, 5, 6, 8))
    block.conv3.batch_norm.beta.assign(np.full(8, -5.0))
    assert NUMPY(block(random(1, 5, 6, 8))).max() < 0


@pytest.mark.parametrize("atrous_rate", [1, 2])
def test_the_middle_convolution_dilates(atrous_rate):
    assert BottleneckBlock(2, atrous_rate=atrous_rate).conv2.convolution.dilation_rate == (atrous_rate,) * 2
