"""Align-corners resizing in numpy: bilinear for images and scores, nearest for labels.

The first and last pixel of an axis keep their places: output pixel `i` lies at
`i * (size_in - 1) / (size_out - 1)` of the input.
"""

from __future__ import annotations

import numpy as np

# Rows handled at once, so that intermediate values stay in the processor's cache.
_BLOCK_ROWS = 32


def source_positions(size_in: int, size_out: int) -> np.ndarray:
    """Where the pixels of a resized axis lie on the original axis.

    Args:
        size_in: int. Length of the original axis, at least 1.
        size_out: int. Length of the resized axis, at least 1.

    Returns:
        float32 `[size_out]`, in pixels of the original axis.

    Raises:
        ValueError: when a size is smaller than 1.
    """
    if size_in < 1 or size_out < 1:
        raise ValueError(f"Cannot resize an axis of {size_in} pixels to {size_out}: both must be at least 1.")
    scale = np.float32(size_in - 1) / np.float32(max(size_out - 1, 1))
    return np.arange(size_out, dtype=np.float32) * scale


def resize_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes bilinearly with aligned corners.

    Args:
        image: number array `[H, W]` or `[H, W, C]`.
        size: `(height, width)` of the result.

    Returns:
        float32 `[height, width]` or `[height, width, C]`.

    Raises:
        ValueError: when a side of the image or of `size` is smaller than 1.

    Example:
    ```python
    resize_bilinear(np.array([[0, 2], [4, 6]]), (3, 3))
    # [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    ```
    """
    height, width = image.shape[:2]
    return sample_bilinear(image, source_positions(height, size[0]), source_positions(width, size[1]))


def resize_nearest(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes to the nearest pixel with aligned corners; halfway positions round up.

    Args:
        label: array `[H, W]` or `[H, W, C]` of any dtype.
        size: `(height, width)` of the result.

    Returns:
        Array `[height, width]` or `[height, width, C]`, dtype of `label`.

    Raises:
        ValueError: when a side of the label or of `size` is smaller than 1.

    Example:
    ```python
    resize_nearest(np.array([[1, 2], [3, 4]]), (2, 3))  # [[1, 2, 2], [3, 4, 4]]
    ```
    """
    height, width = label.shape[:2]
    return sample_nearest(label, source_positions(height, size[0]), source_positions(width, size[1]))


def sample_bilinear(
    image: np.ndarray, rows: np.ndarray, columns: np.ndarray, dtype: type = np.float32
) -> np.ndarray:
    """Samples an image bilinearly on a grid of fractional rows and columns.

    Args:
        image: number array `[H, W]` or `[H, W, C]`.
        rows: float32 `[h]`, positions in `[0, H - 1]`.
        columns: float32 `[w]`, positions in `[0, W - 1]`.
        dtype: of the result. Values are computed in float32; integers drop the fraction.

    Returns:
        Array `[h, w]` or `[h, w, C]` of `dtype`.
    """
    height, width = image.shape[:2]
    channels = image.shape[2:]
    top, bottom, row_weight = _neighbours(rows, height)
    left, right, column_weight = _neighbours(columns, width)
    result = np.empty((len(rows), len(columns), *channels), dtype)
    if result.size == 0:
        return result
    scratch = None if result.dtype == np.float32 else np.empty(result[:_BLOCK_ROWS].shape, np.float32)
    # Only the columns that are looked at take part in the vertical pass.
    first, last = left.min(), right.max() + 1
    image, left, right = image[:, first:last], left - first, right - first
    between_rows, between_columns = row_weight.any(), column_weight.any()
    row_weight = row_weight.reshape(-1, *(1 for _ in image.shape[1:]))
    column_weight = np.repeat(column_weight, result[0, 0].size)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        above = image[top[block]]
        lines = above.astype(np.float32)
        if between_rows:
            change = np.subtract(image[bottom[block]], above, dtype=np.float32)
            change *= row_weight[block]
            lines += change
        target = result[block] if scratch is None else scratch[: len(lines)]
        # mode="clip" lets numpy write into `out` without a copy; all indices are valid.
        np.take(lines, left, axis=1, out=target, mode="clip")
        if between_columns:
            flat = target.reshape(len(target), -1)
            change = np.take(lines, right, axis=1).reshape(flat.shape)
            change -= flat
            change *= column_weight
            flat += change
        if scratch is not None:
            result[block] = target
    return result


def sample_nearest(label: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Samples a label map on a grid: the nearest pixel, halfway positions round up.

    Args:
        label: array `[H, W]` or `[H, W, C]` of any dtype.
        rows: float32 `[h]`, positions in `[0, H - 1]`.
        columns: float32 `[w]`, positions in `[0, W - 1]`.

    Returns:
        Array `[h, w]` or `[h, w, C]`, dtype of `label`.
    """
    height, width = label.shape[:2]
    lines = np.take(label, _nearest(rows, height), axis=0)
    return np.take(lines, _nearest(columns, width), axis=1)


def _neighbours(positions, size):
    lower = np.minimum(np.floor(positions).astype(np.int64), size - 1)
    return lower, np.minimum(lower + 1, size - 1), (positions - lower).astype(np.float32)


def _nearest(positions, size):
    lower = np.floor(positions)
    rounded = lower + (positions - lower >= 0.5)
    return np.minimum(rounded.astype(np.int64), size - 1)
