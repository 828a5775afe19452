"""Corner-aligned resizing."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import interpolate

from keras_deeplab.ops import resize
from keras_deeplab.ops.resize import (
    blend_bilinear,
    resize_bilinear,
    resize_nearest,
    resize_offsets,
    scale_dimension,
)
from tests.gradients import value_and_gradients
from tests.references import SOURCES, load_component

NUMPY = ops.convert_to_numpy
sides = st.integers(1, 9)


def random_images(h, w, c=2, seed=0):
    return np.random.default_rng(seed).normal(size=(1, h, w, c)).astype("float32")


def interpolated(image, size):
    """scipy's piecewise linear interpolation between the samples, corners on corners."""
    for axis, length in enumerate(size):
        n = image.shape[axis]
        if n == 1:
            image = np.repeat(image, length, axis)
            continue
        position = np.linspace(0, n - 1, length) if length > 1 else np.zeros(1)
        image = interpolate.interp1d(np.arange(n), image, axis=axis)(position)
    return image


@settings(deadline=None, max_examples=40)
@given(h=sides, w=sides, new_h=sides, new_w=sides)
def test_bilinear_equals_scipy(h, w, new_h, new_w):
    images = random_images(h, w)
    result = NUMPY(resize_bilinear(images, (new_h, new_w)))
    # Positions up to 8 in float32, times differences of neighbours of up to 6.
    np.testing.assert_allclose(result[0], interpolated(images[0], (new_h, new_w)), atol=1e-5)


@pytest.mark.parametrize("size", [(17, 25), (9, 13), (4, 30), (1, 1), (5, 7)])
def test_few_and_many_channels_are_resized_alike(size):
    """Many go through torch's own routine."""
    images = random_images(5, 7, c=16)

    class Resize(keras.layers.Layer):
        def call(self, images, training=None):
            return self.function(images, size)

    def run(function):
        layer = Resize()
        layer.function, layer.built = function, True
        output, (gradient,), _ = value_and_gradients(layer, images)
        return output, gradient

    for result, expected in zip(run(resize_bilinear), run(blend_bilinear), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_enlarging_equals_the_general_path(factor):
    images = random_images(5, 4)
    length = 4 * factor + 1
    fast = NUMPY(resize._enlarge_axis(ops.convert_to_tensor(images), factor, 1))
    general = NUMPY(resize._blend_axis(ops.convert_to_tensor(images), length, 1))
    np.testing.assert_allclose(fast, general, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(h=sides, w=sides, new_h=sides, new_w=sides)
def test_nearest_rounds_half_up(h, w, new_h, new_w):
    images = np.arange(h * w, dtype="int32").reshape(1, h, w)
    scales = [np.float32(n - 1) / np.float32(max(m - 1, 1)) for n, m in ((h, new_h), (w, new_w))]
    rows, columns = (
        np.floor(np.arange(m, dtype=np.float32) * s + np.float32(0.5)).astype(int)
        for m, s in zip((new_h, new_w), scales, strict=True)
    )
    np.testing.assert_array_equal(
        NUMPY(resize_nearest(images, (new_h, new_w)))[0], images[0][rows][:, columns]
    )


def test_half_way_takes_the_later_sample():
    assert NUMPY(resize_nearest(np.array([[[1, 2]]], "int32"), (1, 3)))[0].tolist() == [[1, 2, 2]]


def test_offsets_grow_with_the_grid():
    offsets = np.ones((1, 5, 3, 2), "float32")
    np.testing.assert_allclose(NUMPY(resize_offsets(offsets, (17, 5)))[0, 3, 2], [4.0, 2.0])


def test_corners_stay_in_place():
    images = random_images(5, 7)
    result = NUMPY(resize_bilinear(images, (12, 9)))
    np.testing.assert_allclose(result[:, ::11, ::8], images[:, ::4, ::6], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "scale", "expected"), [(1025, 1 / 16, 65), (641, 0.25, 161), (1, 1 / 32, 1)]
)
def test_scale_dimension(size, scale, expected):
    assert scale_dimension(size, scale) == expected


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
@pytest.mark.parametrize("size", [(9, 13), (33, 49), (17, 21), (5, 7), (40, 41)])
def test_offsets_agree_with_deeplab2(size):
    # On a grid of one pixel DeepLab2's are 0; ours keep their direction.
    arrays, _ = load_component("c04_preprocess", "full")
    actual = NUMPY(resize_offsets(arrays["in/off"], size))
    np.testing.assert_allclose(actual, arrays[f"resize_offsets/{size[0]}x{size[1]}"], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_scaled_sizes_agree_with_deeplab2():
    _, meta = load_component("c04_preprocess", "full")
    for case in meta["cases"]["scale_helper"]:
        assert scale_dimension(case["v"], case["s"]) == case["out"]
