"""Instance centres as maps: a heat map of them, and the offsets of pixels to them."""

from __future__ import annotations

import numpy as np

from keras_deeplab.runs import Runs


def rounded_centers(runs: Runs) -> np.ndarray:
    """The pixel (y, x) nearest to the centre of mass of each id, int64 `[K, 2]`.

    Halves go to the even pixel, after rounding to float32.
    """
    return np.rint(runs.centers().astype(np.float32)).astype(np.int64)


def center_heatmap(centers: np.ndarray, shape: tuple[int, int], sigma: int) -> np.ndarray:
    """A heat map with a Gaussian at every centre.

    Args:
        centers: int `[N, 2]`, (y, x) in pixels.
        shape: `(height, width)` of the map.
        sigma: int. Standard deviation in pixels.

    Returns:
        float32 `[height, width, 1]`: 1 at a centre, elsewhere the largest of all Gaussians, each cut to a
        square of `6 * sigma + 3` pixels.

    Raises:
        ValueError: when `sigma` is not positive.

    Example:
    ```python
    center_heatmap(np.array([[0, 1]]), (1, 3), sigma=1)[0, :, 0]  # [0.607, 1.0, 0.607]
    ```
    """
    if sigma <= 0:
        raise ValueError(f"`sigma` must be positive. Received: sigma={sigma}")
    height, width = shape
    radius = int(3 * sigma) + 1
    reach = np.arange(-radius, radius + 1)
    gaussian = np.exp(-(reach[:, None] ** 2 + reach**2) / (2 * sigma**2)).astype(np.float32)
    rows, columns = centers[:, :1] + reach, centers[:, 1:] + reach  # [K, size]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    pixels = (rows * width)[:, :, None] + columns[:, None]
    heatmap = np.zeros(height * width, np.float32)
    np.maximum.at(heatmap, pixels[inside], np.broadcast_to(gaussian, inside.shape)[inside])
    return heatmap.reshape(height, width, 1)


def offset_to_centers(runs: Runs, ids: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The way from each pixel to the centre of its id, which may be that in another frame.

    Args:
        runs: `Runs` of a label map.
        ids: int `[N]`, without repetition. The ids that have a centre, in the map or not.
        centers: int `[N, 2]`, their centres as (y, x) in pixels.

    Returns:
        float32 `[H, W, 2]`, centre - pixel as (y, x); 0 on ids without a centre.

    Example:
    ```python
    runs = find_runs(np.array([[0, 7, 7]]))
    offset_to_centers(runs, np.array([7]), np.array([[0, 2]]))[0]  # [[0, 0], [0, 1], [0, 0]]
    ```
    """
    height, width = runs.shape
    _, here, there = np.intersect1d(runs.ids, ids, return_indices=True)
    has_center, center_of_id = np.zeros(len(runs.ids), bool), np.zeros((len(runs.ids), 2), np.int64)
    has_center[here], center_of_id[here] = True, centers[there]

    of_instance = has_center[runs.segment]
    center, lengths = center_of_id[runs.segment[of_instance]], runs.lengths[of_instance]
    rows, starts = runs.rows[of_instance], runs.columns[of_instance]
    # Pixel columns of all instance runs, one after another.
    ends = np.cumsum(lengths)
    columns = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    pixels = np.repeat(rows * width, lengths) + columns
    offset = np.zeros((height * width, 2), np.float32)
    offset[pixels, 0] = np.repeat(center[:, 0] - rows, lengths)
    offset[pixels, 1] = np.repeat(center[:, 1], lengths) - columns
    return offset.reshape(height, width, 2)


def nonzero_offset(offset: np.ndarray) -> np.ndarray:
    """Where the offsets `[H, W, 2]` are not (0, 0), float32 `[H, W]`."""
    # Faster than `any` over an axis of two.
    return ((offset[..., 0] != 0) | (offset[..., 1] != 0)).astype(np.float32)
