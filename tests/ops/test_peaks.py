import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_deeplab.ops.peaks import find_centers, sliding_maximum


def find(heatmap, **kwargs):
    """Used centres as rows (y, x) and their scores, of one image (h, w)."""
    centers, scores = find_centers(np.asarray(heatmap, "float32")[None, :, :, None], **kwargs)
    centers, scores = ops.convert_to_numpy(centers)[0], ops.convert_to_numpy(scores)[0]
    used = scores > 0
    assert not used[used.sum() :].any()
    assert not centers[~used].any()
    assert not scores[~used].any()
    return centers[used].tolist(), scores[used].tolist()


def expected_centers(heatmap, threshold, kernel, top_k):
    """The definition, pixel by pixel."""
    h, w = heatmap.shape
    before = (kernel - 1) // 2
    heat = np.where(heatmap > np.float32(threshold), heatmap, 0)
    padded = np.pad(heat, ((before, kernel - 1 - before),) * 2)
    found = [
        (-heat[y, x], y, x)
        for y in range(h)
        for x in range(w)
        if heat[y, x] > 0 and heat[y, x] == padded[y : y + kernel, x : x + kernel].max()
    ]
    return sorted([y, x] for _, y, x in sorted(found)[:top_k])


@settings(deadline=None, max_examples=60)
@given(
    heatmap=hnp.arrays(np.float32, (7, 9), elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 1])),
    kernel=st.sampled_from([1, 2, 3, 4, 13]),
    top_k=st.sampled_from([1, 5, 100]),
)
def test_centers_are_the_best_local_maxima(heatmap, kernel, top_k):
    centers, scores = find(heatmap, nms_kernel=kernel, top_k=top_k)
    assert centers == expected_centers(heatmap, 0.1, kernel, top_k)
    assert scores == [heatmap[y, x] for y, x in centers]


@pytest.mark.parametrize("kernel", [1, 2, 3, 6, 7, 13, 41])
def test_sliding_maximum_equals_max_pool(kernel):
    x = np.random.default_rng(0).random((2, 17, 33)).astype("float32")
    before = (kernel - 1) // 2
    padded = np.pad(x, [(0, 0), (before, kernel - 1 - before), (before, kernel - 1 - before)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    np.testing.assert_array_equal(ops.convert_to_numpy(sliding_maximum(x, kernel)), windows.max((3, 4)))


def test_threshold_is_strict():
    heatmap = np.zeros((3, 9))
    heatmap[1, 1], heatmap[1, 7] = 0.5, np.nextafter(np.float32(0.5), np.float32(1))
    assert find(heatmap, threshold=0.5, nms_kernel=3, top_k=4)[0] == [[1, 7]]


def test_plateau_keeps_every_pixel():
    assert find(np.full((2, 2), 0.5), top_k=9)[0] == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_exactly_top_k_are_kept_and_ties_go_by_raster_order():
    heatmap = np.zeros((1, 9))
    heatmap[0, ::2] = 0.5, 0.9, 0.5, 0.5, 0.7
    centers, scores = find(heatmap, nms_kernel=3, top_k=3)
    assert centers == [[0, 0], [0, 2], [0, 8]]
    np.testing.assert_allclose(scores, [0.5, 0.9, 0.7])


def test_large_plateau_keeps_the_first_in_raster_order():
    centers, _ = find(np.full((40, 50), 0.5), nms_kernel=1, top_k=60)
    assert centers == [[i // 50, i % 50] for i in range(60)]


def test_no_centers():
    assert find(np.zeros((4, 5)), top_k=3) == ([], [])


def test_single_pixel_with_more_slots_than_pixels():
    assert find([[0.75]], top_k=7) == ([[0, 0]], [0.75])


def test_not_a_number_is_no_center():
    assert find([[np.nan, 0, 0, 0.5]], nms_kernel=3, top_k=2)[0] == [[0, 3]]


def test_images_of_a_batch_are_independent():
    heatmap = np.zeros((2, 5, 5, 1), "float32")
    heatmap[0, 3, 1], heatmap[1, 0, 4] = 0.5, 0.25
    centers, scores = find_centers(heatmap, top_k=2)
    assert ops.convert_to_numpy(centers).tolist() == [[[3, 1], [0, 0]], [[0, 4], [0, 0]]]
    assert ops.convert_to_numpy(scores).tolist() == [[0.5, 0], [0.25, 0]]


def test_output_dtypes():
    centers, scores = find_centers(np.zeros((1, 3, 3, 1), "float16"))
    assert keras.backend.standardize_dtype(centers.dtype) == "int32"
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
