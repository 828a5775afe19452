"""Convolutions against scipy's correlation, in every way that a backend may take."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import ndimage

from keras_deeplab.ops.convolution import (
    convolution,
    pad_evenly,
    padded_convolution,
    scaled_convolution,
    shifted_products,
)
from tests.gradients import value_and_gradients

NUMPY = ops.convert_to_numpy


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def correlate(images, kernel, strides, atrous_rate):
    """Zero-padded correlation in float64: images (b, h, w, c), kernel (k, k, c, f)."""
    k, _, c, filters = kernel.shape
    spread = np.zeros(((k - 1) * atrous_rate + 1,) * 2 + (c, filters))
    spread[::atrous_rate, ::atrous_rate] = kernel
    planes = [
        sum(
            ndimage.correlate(i[..., n].astype("float64"), spread[..., n, f], mode="constant")
            for n in range(c)
        )
        for i in images
        for f in range(filters)
    ]
    result = np.reshape(planes, (len(images), filters, *images.shape[1:3])).transpose(0, 2, 3, 1)
    return result[:, ::strides, ::strides]


@pytest.mark.parametrize("function", [convolution, padded_convolution])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "atrous_rate"),
    [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 1, 6), (5, 1, 1), (7, 2, 1)],
)
@pytest.mark.parametrize("size", [(9, 13), (8, 10)])
def test_convolutions_are_correlations(function, kernel_size, strides, atrous_rate, size):
    images, kernel, bias = random(2, *size, 3), random(kernel_size, kernel_size, 3, 4, seed=1), random(4)
    result = NUMPY(function(images, kernel, bias, strides, atrous_rate))
    np.testing.assert_allclose(result, correlate(images, kernel, strides, atrous_rate) + bias, atol=1e-4)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 5]), st.integers(1, 6))
def test_products_with_what_the_taps_see_are_the_convolution(height, width, kernel_size, rate):
    images, kernel, bias = random(1, height, width, 2), random(kernel_size, kernel_size, 2, 3), random(3)
    images, kernel, bias = (ops.convert_to_tensor(x) for x in (images, kernel, bias))
    result = NUMPY(shifted_products(images, kernel, bias, rate))
    expected = correlate(NUMPY(images), NUMPY(kernel), 1, rate) + NUMPY(bias)
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize(("kernel_size", "atrous_rate"), [(1, 1), (3, 1), (3, 6)])
def test_gradients_equal_those_of_keras_own_convolution(kernel_size, atrous_rate):
    images, kernel = random(2, 8, 9, 3), random(kernel_size, kernel_size, 3, 4, seed=1)

    class Run(keras.layers.Layer):
        def call(self, images, kernel, training=None):
            return self.function(images, kernel, None, 1, atrous_rate)

    def gradients(function):
        layer = Run()
        layer.function, layer.built = function, True
        return value_and_gradients(layer, images, kernel)[1]

    ours, theirs = gradients(convolution), gradients(padded_convolution)
    for gradient, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("channels", [4, 6])
def test_gradients_of_strided_projections_of_few_channels(channels):
    """torch must not come to oneDNN's code for these, which writes where it may not."""
    images, kernel = random(8, 32, 32, channels), random(1, 1, channels, 8, seed=1)

    class Run(keras.layers.Layer):
        def call(self, images, kernel, training=None):
            return convolution(images, kernel, strides=2)

    layer = Run()
    layer.built = True
    output, (_, gradient), _ = value_and_gradients(layer, images, kernel)
    expected = np.einsum("bhwc,bhwf->cf", images[:, ::2, ::2].astype("float64"), 2 * output)[None, None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_scale_and_shift_come_after_the_convolution(dtype):
    images, kernel, scale, shift = (
        random(1, 6, 7, 3),
        random(3, 3, 3, 4, seed=1),
        random(4),
        random(4, seed=2),
    )
    result = scaled_convolution(
        ops.cast(images, dtype), ops.cast(kernel, dtype), *map(ops.array, (scale, shift))
    )
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    expected = correlate(images, kernel, 1, 1) * scale + shift
    # 8 bits of mantissa, in the inputs, the product and the sum of 27 numbers
    atol = 1e-4 if dtype == "float32" else 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(NUMPY(ops.cast(result, "float32")), expected, atol=atol)


def test_half_of_the_padding_is_in_front():
    padded = NUMPY(pad_evenly(np.ones((1, 1, 1, 1), "float32"), kernel_size=4))
    assert padded.shape == (1, 4, 4, 1)
    assert padded[0, 1, 1, 0] == padded.sum() == 1
