"""Depthwise convolution: the paths for JAX on CPUs and for torch equal Keras' own."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.convolution import pad_evenly
from keras_deeplab.ops.depthwise import depthwise_convolution, depthwise_kernel_gradient, shifted_sum
from tests.gradients import value_and_gradients


def random_arrays(size, kernel_size=3):
    """Images and a kernel of six channels."""
    rng = np.random.default_rng(0)
    shapes = (2, *size, 6), (kernel_size, kernel_size, 6, 1)
    return (ops.convert_to_tensor(rng.normal(size=shape).astype("float32")) for shape in shapes)


def padded_shifted_sum(images, kernel, strides=1, atrous_rate=1):
    return shifted_sum(pad_evenly(images, kernel.shape[0], atrous_rate), kernel, strides, atrous_rate)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("atrous_rate", [1, 2, 3])
@pytest.mark.parametrize("size", [(11, 14), (13, 9)])
def test_all_ways_equal_keras(strides, atrous_rate, size):
    if strides > 1 and atrous_rate > 1:
        pytest.skip("no framework convolves with both")
    images, kernel = random_arrays(size)
    padded = pad_evenly(images, 3, atrous_rate)
    expected = ops.depthwise_conv(
        padded, kernel, strides, padding="valid", data_format="channels_last", dilation_rate=atrous_rate
    )
    for function in (padded_shifted_sum, depthwise_convolution):
        actual = ops.convert_to_numpy(function(images, kernel, strides, atrous_rate))
        np.testing.assert_allclose(actual, ops.convert_to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 2, 4, 5])
def test_any_size_of_kernel(kernel_size):
    images, kernel = random_arrays((9, 7), kernel_size)
    actual, expected = (
        ops.convert_to_numpy(function(images, kernel))
        for function in (depthwise_convolution, padded_shifted_sum)
    )
    assert actual.shape == (2, 9, 7, 6)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


class Depthwise(keras.layers.Layer):
    """A layer of one depthwise convolution, as a function of images `[b, 11, 14, c]`."""

    def __init__(self, function, strides, atrous_rate, **kwargs):
        super().__init__(**kwargs)
        self.function, self.options = function, (strides, atrous_rate)
        self.kernel = self.add_weight(shape=(3, 3, 6, 1), initializer="glorot_uniform", name="kernel")
        self.built = True

    def call(self, images, training=None):
        return self.function(images, ops.cast(self.kernel, images.dtype), *self.options)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("atrous_rate", [1, 2, 3])
def test_gradients_are_those_of_the_shifted_sum(strides, atrous_rate):
    if strides > 1 and atrous_rate > 1:
        pytest.skip("no framework convolves with both")
    images = np.random.default_rng(0).normal(size=(2, 11, 14, 6)).astype("float32")
    layers = [Depthwise(f, strides, atrous_rate) for f in (padded_shifted_sum, depthwise_convolution)]
    layers[1].set_weights(layers[0].get_weights())
    (output, (of_images,), of_kernel), actual = (value_and_gradients(layer, images) for layer in layers)
    # Sums of at most 2 * 11 * 14 products in another order.
    np.testing.assert_allclose(actual[1][0], of_images, atol=1e-4)
    (of_kernel,) = of_kernel.values()
    np.testing.assert_allclose(*actual[2].values(), of_kernel, rtol=1e-4, atol=1e-3)
    # The loss is the sum of squares.
    by_hand = depthwise_kernel_gradient(
        pad_evenly(ops.convert_to_tensor(images), 3, atrous_rate),
        ops.convert_to_tensor(2 * output),
        3,
        strides,
        atrous_rate,
    )
    np.testing.assert_allclose(ops.convert_to_numpy(by_hand), of_kernel, rtol=1e-4, atol=1e-3)


def test_half_precision_sums_are_float32():
    images = ops.ones((1, 66, 66, 2), "bfloat16")
    gradient = depthwise_kernel_gradient(images, ops.ones((1, 64, 64, 2), "bfloat16"), 3)
    # bfloat16 counts ones up to 256 only.
    np.testing.assert_array_equal(ops.convert_to_numpy(gradient), np.full((3, 3, 2, 1), 4096))
