"""The convolution wrappers against scipy's correlation."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from keras_deeplab.layers.convolution import Convolution, DepthwiseConvolution, SeparableConvolution

NUMPY = ops.convert_to_numpy


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def correlate(image, kernel, atrous_rate):
    """Sum over input channels of zero-padded correlations: image (h, w, c), kernel (k, k, c) -> (h, w)."""
    k = kernel.shape[0]
    spread = np.zeros(((k - 1) * atrous_rate + 1,) * 2 + kernel.shape[2:])
    spread[::atrous_rate, ::atrous_rate] = kernel
    return sum(
        ndimage.correlate(image[..., c].astype("float64"), spread[..., c], mode="constant")
        for c in range(image.shape[-1])
    )


@pytest.mark.parametrize(("strides", "atrous_rate"), [(1, 1), (2, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize("size", [(9, 13), (8, 10)])
def test_odd_kernels_stay_centred_whatever_the_parity(size, strides, atrous_rate):
    images = random(1, *size, 3)
    layer = Convolution(2, 3, strides, atrous_rate, batch_norm=False)
    result = NUMPY(layer(images))
    kernel = NUMPY(layer.convolution.kernel)
    for f in range(2):
        expected = correlate(images[0], kernel[..., f], atrous_rate)[::strides, ::strides]
        np.testing.assert_allclose(result[0, ..., f], expected, atol=1e-5)
    assert layer.compute_output_shape(images.shape) == result.shape


@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise_convolution_keeps_channels_apart(strides):
    images = random(1, 8, 9, 4)
    layer = DepthwiseConvolution(5, strides=strides, batch_norm=False)
    result = NUMPY(layer(images))
    kernel = NUMPY(layer.convolution.kernel)
    for c in range(4):
        expected = correlate(images[0, ..., c : c + 1], kernel[:, :, c], 1)[::strides, ::strides]
        np.testing.assert_allclose(result[0, ..., c], expected, atol=1e-5)


def test_a_kernel_may_be_larger_than_the_map():
    layer = DepthwiseConvolution(5, batch_norm=False)
    assert layer(random(1, 2, 3, 4)).shape == (1, 2, 3, 4)


def test_batch_norm_takes_the_place_of_the_bias():
    with_norm, without = Convolution(2), Convolution(2, batch_norm=False)
    for layer in (with_norm, without):
        layer.build((None, 5, 5, 3))
    assert [v.path.split("/", 1)[1] for v in with_norm.weights] == [
        "conv/kernel",
        "batch_norm/gamma",
        "batch_norm/beta",
        "batch_norm/moving_mean",
        "batch_norm/moving_variance",
    ]
    assert [v.path.split("/", 1)[1] for v in without.weights] == ["conv/kernel", "conv/bias"]


def test_inference_normalises_with_the_moving_statistics():
    layer = Convolution(1, activation="relu", batch_norm_epsilon=0.5)
    layer.build((None, 2, 2, 1))
    for variable, value in zip(layer.weights, (2.0, 3.0, 1.0, 4.0, 8.5), strict=True):
        variable.assign(np.full(variable.shape, value))
    # (2 x - 4) / sqrt(8.5 + 0.5) * 3 + 1 = 2 x - 3
    result = NUMPY(layer(np.array([[[[1.0], [2.0]]]], "float32"), training=False))
    np.testing.assert_allclose(result.ravel(), [0.0, 1.0], atol=1e-6)


def test_separable_activates_both_halves():
    layer = SeparableConvolution(3, 3, activation="relu")
    images = random(1, 6, 6, 2)
    result = NUMPY(layer(images))
    middle = NUMPY(layer.depthwise(images))
    assert middle.min() == 0
    np.testing.assert_allclose(result, NUMPY(layer.pointwise(middle)), atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        Convolution(4, 3, 2, activation="gelu", gamma_initializer="zeros"),
        DepthwiseConvolution(5, atrous_rate=2),
        SeparableConvolution(4, 5, activation="relu", batch_norm_epsilon=1e-5),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_configuration_round_trips(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
