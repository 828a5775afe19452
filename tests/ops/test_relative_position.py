"""Moving products between distances and keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.ops.relative_position import distance_rows, distances_to_keys, keys_to_distances
from tests.references import load_component

NUMPY = ops.convert_to_numpy


def index(length):
    """Column of the distance from every query to every key."""
    places = np.arange(length)
    return places[None, :] - places[:, None] + length - 1


@given(st.integers(1, 12), st.integers(0, 3))
def test_products_by_distance_become_products_by_key(length, seed):
    products = np.random.default_rng(seed).normal(size=(2, length, 2 * length - 1)).astype("float32")
    expected = np.take_along_axis(products, np.broadcast_to(index(length), (2, length, length)), axis=2)
    np.testing.assert_array_equal(NUMPY(distances_to_keys(ops.convert_to_tensor(products))), expected)


@given(st.integers(1, 12), st.integers(0, 3))
def test_weights_by_key_become_weights_by_distance(length, seed):
    weights = np.random.default_rng(seed).normal(size=(2, length, length)).astype("float32")
    expected = np.zeros((2, length, 2 * length - 1), "float32")
    for image in range(2):
        np.put_along_axis(expected[image], index(length), weights[image], axis=1)
    np.testing.assert_array_equal(NUMPY(keys_to_distances(ops.convert_to_tensor(weights))), expected)


def test_distances_beyond_the_table_take_its_ends():
    assert distance_rows(3, 509).tolist() == [252, 253, 254, 255, 256]
    assert distance_rows(4, 3).tolist() == [0, 0, 0, 1, 2, 2, 2]
    rows = distance_rows(300, 509)
    assert rows[:46].tolist() == [0] * 46
    assert rows[-1] == 508


@pytest.mark.parametrize("queries", [5])
def test_rows_are_those_of_deeplab2(queries):
    arrays, _ = load_component("c07_misc_layers")
    table = arrays["rpe_5_5/w/rpe/embeddings"]
    rows = table[distance_rows(queries, len(table))]
    np.testing.assert_array_equal(rows[index(queries)], arrays["rpe_5_5/out_infer/y"])
