"""Gradients of convolutions' kernels against sums over taps in numpy and against the framework's own."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.ops.convolution import padded_convolution
from keras_deeplab.ops.kernel_gradient import kernel_gradient, with_kernel_gradient

NUMPY = ops.convert_to_numpy


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def expected_gradient(images, gradient, kernel_size, strides, atrous_rate):
    """Sums over the outputs' grid in float64."""
    total = (kernel_size - 1) * atrous_rate
    side = (total // 2, total - total // 2)
    padded = np.pad(images.astype("float64"), [(0, 0), side, side, (0, 0)])
    result = np.zeros((kernel_size, kernel_size, images.shape[-1], gradient.shape[-1]))
    for row, column in np.ndindex(kernel_size, kernel_size):
        for y, x in np.ndindex(gradient.shape[1:3]):
            seen = padded[:, y * strides + row * atrous_rate, x * strides + column * atrous_rate]
            result[row, column] += seen.T @ gradient[:, y, x]
    return result


@settings(max_examples=30)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel_size=st.integers(1, 5),
    strides=st.integers(1, 3),
    atrous_rate=st.integers(1, 6),
    channels=st.sampled_from([3, 16]),
)
def test_every_tap_gets_the_pixels_it_saw(size, kernel_size, strides, atrous_rate, channels):
    images = random(2, *size, channels)
    gradient = random(2, *(-(-n // strides) for n in size), 4, seed=1)
    options = (kernel_size, strides, atrous_rate)
    # Float32 sums of at most 162 products.
    result = NUMPY(kernel_gradient(*map(ops.convert_to_tensor, (images, gradient)), *options))
    np.testing.assert_allclose(result, expected_gradient(images, gradient, *options), atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the wrapper is for JAX")
@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "atrous_rate"),
    [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 1, 2), (3, 2, 1), (7, 2, 1)],
)
@pytest.mark.parametrize("size", [(9, 13), (8, 10)])
def test_wrapped_convolutions_have_the_gradients_of_xlas_own(
    channels, kernel_size, strides, atrous_rate, size
):
    import jax

    def convolve(images, kernel):
        return padded_convolution(images, kernel, None, strides, atrous_rate)

    def gradients(function):
        return jax.grad(lambda x, k: ops.sum(ops.square(function(x, k))), (0, 1))(images, kernel)

    images, kernel = random(2, *size, channels), random(kernel_size, kernel_size, channels, 4, seed=1)
    options = {"strides": strides, "atrous_rate": atrous_rate}
    wrapped = with_kernel_gradient(convolve, functools.partial(kernel_gradient, **options))
    np.testing.assert_array_equal(NUMPY(wrapped(images, kernel)), NUMPY(convolve(images, kernel)))
    for gradient, expected in zip(gradients(wrapped), gradients(convolve), strict=True):
        expected = NUMPY(expected)
        # Other orders of sums of at most 784 products in float32.
        np.testing.assert_allclose(NUMPY(gradient), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the wrapper is for JAX")
def test_half_precision_kernels_get_half_precision_gradients():
    import jax

    images, kernel = (ops.cast(x, "bfloat16") for x in (random(1, 6, 6, 16), random(3, 3, 16, 4, seed=1)))
    wrapped = with_kernel_gradient(lambda x, k: padded_convolution(x, k), kernel_gradient)
    of_images, of_kernel = jax.grad(lambda x, k: ops.sum(wrapped(x, k)), (0, 1))(images, kernel)
    assert (of_images.dtype, of_kernel.dtype) == ("bfloat16", "bfloat16")
    ones = np.ones((1, 6, 6, 4))
    expected = expected_gradient(NUMPY(ops.cast(images, "float32")), ones, 3, 1, 1)
    # bfloat16 has 8 binary digits.
    np.testing.assert_allclose(NUMPY(ops.cast(of_kernel, "float32")), expected, rtol=2**-7, atol=0.1)
