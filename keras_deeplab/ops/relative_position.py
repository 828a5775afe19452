"""Sums over relative positions without a tensor of [queries, keys, channels].

A table of position vectors is indexed by the distance from a query to a key. Products with all rows of the
table are one matrix product, `[..., queries, distances]`; shifting row `l` by `l` turns it into
`[..., queries, keys]`. The shift is padding, reshaping and slicing (Shaw et al. 2018, arXiv 1803.02155,
need the large tensor; Huang et al. 2018, arXiv 1809.04281, section 3.4.1, found the trick).
"""

from __future__ import annotations

import numpy as np
from keras import ops


def distances_to_keys(products):
    """Turns products by distance into products by key: (..., n, 2n - 1) -> (..., n, n).

    Args:
        products: tensor `[..., n, 2n - 1]`; column `n - 1` is distance 0, from `1 - n` to `n - 1`.

    Returns:
        Tensor `[..., n, n]`: at query `l` and key `m` the product of distance `m - l`.

    Example:
    ```python
    distances_to_keys(keras.ops.reshape(keras.ops.arange(6), (2, 3)))  # [[1, 2], [3, 4]]
    ```
    """
    n, distances = products.shape[-2:]
    flat = ops.reshape(_pad_last(products, 0, 1), (*_sizes(products), n * (distances + 1)))
    flat = flat[..., n - 1 : n - 1 + n * distances]
    return ops.reshape(flat, (*_sizes(products), n, distances))[..., :n]


def keys_to_distances(weights):
    """The adjoint of `distances_to_keys`: (..., n, n) -> (..., n, 2n - 1).

    Args:
        weights: tensor `[..., n, n]` by query and key.

    Returns:
        Tensor `[..., n, 2n - 1]`: every query's weights moved to the columns of their distances, zeros
        elsewhere.
    """
    n = weights.shape[-1]
    flat = ops.reshape(_pad_last(weights, 0, n - 1), (*_sizes(weights), n * (2 * n - 1)))
    flat = _pad_last(flat, n - 1, 1)
    return ops.reshape(flat, (*_sizes(weights), n, 2 * n))[..., : 2 * n - 1]


def distance_rows(length: int, table_length: int) -> np.ndarray:
    """Rows of a position table for all distances between `length` places.

    Args:
        length: int. Number of queries and keys, `n`.
        table_length: int, odd. Rows of the table; the middle one is distance 0.

    Returns:
        int32 array `[2n - 1]`, row of distances `1 - n` to `n - 1`. Distances beyond the table take its
        outermost rows.

    Example:
    ```python
    distance_rows(3, 509)  # [252, 253, 254, 255, 256]
    ```
    """
    distances = np.arange(1 - length, length)
    return np.clip(distances + table_length // 2, 0, table_length - 1).astype("int32")


def _pad_last(x, before, after):
    return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(before, after)])


def _sizes(x):
    """All but the last two sizes, static where known."""
    return tuple(s if s is not None else d for s, d in zip(x.shape[:-2], ops.shape(x)[:-2], strict=True))
