import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from keras_deeplab.metrics.coco_masks import encode_masks, find_column_runs


def encode(label, ids):
    runs = find_column_runs(label)
    return encode_masks(runs, np.searchsorted(runs.ids, ids), label.shape)


def encode_pixels(label, ids):
    return [mask.encode(np.asfortranarray(label == value).view(np.uint8))["counts"] for value in ids]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 999))
def test_equals_pycocotools_encoding_of_pixels(height, width, count, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, count, (height, width))
    ids = rng.permutation(np.unique(label))[: rng.integers(count + 1)]
    assert encode(label, ids) == encode_pixels(label, ids)


def test_large_blocks_and_ids():
    label = np.zeros((700, 900), np.int64)
    label[100:400, 200:850] = 2**31 - 1
    label[300:, :50] = 7
    label[-1, -1] = 9
    ids = [2**31 - 1, 9, 0, 7]
    assert encode(label, ids) == encode_pixels(label, ids)


def test_a_run_goes_on_in_the_next_column():
    runs = find_column_runs(np.array([[1, 2], [2, 2], [2, 3]]))
    assert (runs.ids.tolist(), runs.lengths.tolist()) == ([1, 2, 3], [1, 4, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_dtype(dtype):
    label = np.array([[5, 5, 7], [7, 5, 7]], dtype)
    assert encode(label, [7]) == encode_pixels(label, [7])
    assert encode(label[::-1, ::2], [7]) == encode_pixels(label[::-1, ::2], [7])


def test_no_segments_no_masks():
    assert encode(np.array([[5, 5]]), []) == []
