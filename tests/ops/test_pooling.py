"""Means over windows against numpy, with sizes known and unknown."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.ops.pooling import sliding_mean, sliding_mean_by_sums

NUMPY = ops.convert_to_numpy
SIDE = st.integers(1, 6)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@settings(max_examples=30)
@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE))
def test_every_window_inside_the_image_has_its_mean(size, window):
    images = random(2, *size, 3)
    fitting = tuple(map(min, size, window))
    windows = np.lib.stride_tricks.sliding_window_view(images, fitting, axis=(1, 2))
    expected, images = windows.mean((-2, -1)), ops.convert_to_tensor(images)
    for function in (sliding_mean, sliding_mean_by_sums):
        # Sums of at most 36 numbers in float32.
        np.testing.assert_allclose(NUMPY(function(images, window)), expected, atol=1e-5)


@pytest.mark.parametrize("window", [(64, 32), (64, 64)])
@pytest.mark.parametrize("function", [sliding_mean, sliding_mean_by_sums])
def test_half_precision_is_averaged_in_full(function, window):
    images = ops.cast(np.full((1, 64, 64, 1), 1.0078125), "bfloat16")
    mean = function(images, window)
    assert keras.backend.standardize_dtype(mean.dtype) == "bfloat16"
    np.testing.assert_array_equal(
        NUMPY(ops.cast(mean, "float32")), np.full((1, 1, 65 - window[1], 1), 1.0078125)
    )
