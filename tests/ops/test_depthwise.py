"""Depthwise convolution: the path for JAX on CPUs equals Keras' own."""

import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.depthwise import depthwise_convolution, shifted_sum


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("atrous_rate", [1, 2, 3])
@pytest.mark.parametrize("size", [(11, 14), (13, 9)])
def test_shifted_sum_equals_keras(strides, atrous_rate, size):
    if strides > 1 and atrous_rate > 1:
        pytest.skip("no framework convolves with both")
    rng = np.random.default_rng(0)
    images = ops.convert_to_tensor(rng.normal(size=(2, *size, 6)).astype("float32"))
    kernel = ops.convert_to_tensor(rng.normal(size=(3, 3, 6, 1)).astype("float32"))
    expected = ops.depthwise_conv(
        images, kernel, strides, padding="valid", data_format="channels_last", dilation_rate=atrous_rate
    )
    for function in (shifted_sum, depthwise_convolution):
        actual = ops.convert_to_numpy(function(images, kernel, strides, atrous_rate))
        np.testing.assert_allclose(actual, ops.convert_to_numpy(expected), atol=1e-5)
