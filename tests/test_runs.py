import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.runs import find_runs


def test_runs_do_not_cross_rows():
    runs = find_runs(np.array([[5, 5, 9], [9, 9, 9]]))
    np.testing.assert_array_equal(runs.ids, [5, 9])
    np.testing.assert_array_equal(runs.segment, [0, 1, 1])
    np.testing.assert_array_equal(runs.rows, [0, 0, 1])
    np.testing.assert_array_equal(runs.columns, [0, 2, 0])
    np.testing.assert_array_equal(runs.lengths, [2, 1, 3])


@pytest.mark.parametrize(
    "label", [np.zeros((0, 3), int), np.zeros(3, int), np.zeros((2, 2)), np.zeros((2, 2, 1), int)]
)
def test_other_arrays_are_refused(label):
    with pytest.raises(ValueError, match=r"non-empty integer array of shape \[H, W\]"):
        find_runs(label)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_painting_areas_centers_and_boxes_agree_with_pixels(height, width, count, seed):
    label = np.random.default_rng(seed).integers(-2, count, (height, width))
    runs = find_runs(label)
    np.testing.assert_array_equal(runs.paint(runs.ids, np.int32), label)
    facts = zip(runs.ids, runs.areas(), runs.centers(), runs.boxes(), strict=True)
    for value, area, center, box in facts:
        pixels = np.argwhere(label == value)
        assert area == len(pixels)
        np.testing.assert_allclose(center, pixels.mean(axis=0))
        np.testing.assert_array_equal(box, [*pixels.min(axis=0), *(pixels.max(axis=0) + 1)])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_means_are_over_the_pixels_of_each_id(height, width, count, seed):
    rng = np.random.default_rng(seed)
    label, values = rng.integers(0, count, (height, width)), rng.random((height, width), np.float32)
    runs = find_runs(label)
    expected = [values[label == value].mean(dtype=np.float64) for value in runs.ids]
    np.testing.assert_allclose(runs.means(values), expected, rtol=1e-12)


def test_ids_appear_row_by_row():
    runs = find_runs(np.array([[7, 7, 3], [5, 3, 1]]))
    np.testing.assert_array_equal(runs.ids[runs.order_of_appearance()], [7, 3, 5, 1])
