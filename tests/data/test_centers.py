import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.centers import center_heatmap, offset_to_centers, rounded_centers
from keras_deeplab.runs import find_runs

sides = st.integers(1, 20)


@given(sides, sides, st.integers(1, 3), st.integers(0, 6), st.integers(0, 99))
def test_heatmaps_equal_the_maximum_over_all_pixels(height, width, sigma, count, seed):
    rng = np.random.default_rng(seed)
    centers = np.stack([rng.integers(0, height, count), rng.integers(0, width, count)], axis=-1)
    expected = np.zeros((height, width, 1), np.float32)
    for y, x in np.ndindex(height, width):
        ways = centers - (y, x)
        near = ways[(np.abs(ways) <= 3 * sigma + 1).all(axis=-1)]
        if len(near):
            expected[y, x] = np.exp(-(near**2).sum(axis=-1).min() / (2 * sigma**2))
    heatmap = center_heatmap(centers, (height, width), sigma)
    np.testing.assert_allclose(heatmap, expected, rtol=1e-6)
    assert heatmap.dtype == np.float32


@given(sides, sides, st.integers(0, 99))
def test_offsets_lead_to_the_centers_of_the_ids_given(height, width, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, (height, width))
    ids = rng.permutation(7)[:4]
    centers = rng.integers(-9, 9, (4, 2))
    offset = offset_to_centers(find_runs(label), ids, centers)
    pixels = np.moveaxis(np.indices(label.shape), 0, -1)
    for value in range(5):
        mask = label == value
        expected = (centers[ids == value] - pixels[mask]) if value in ids else np.zeros((mask.sum(), 2))
        np.testing.assert_array_equal(offset[mask], expected)


def test_centers_are_rounded_to_the_even_pixel():
    label = np.array([[1, 1, 0, 2, 2], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(rounded_centers(find_runs(label)), [[1, 2], [0, 0], [0, 4]])


def test_no_centers_give_an_empty_heatmap():
    assert not center_heatmap(np.zeros((0, 2), int), (3, 4), 8).any()


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="`sigma` must be positive"):
        center_heatmap(np.zeros((0, 2), int), (3, 4), 0)
