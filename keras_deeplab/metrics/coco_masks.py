"""Masks of segments in the run-length code of COCO. Needs pycocotools."""

from __future__ import annotations

import cv2
import numpy as np

from keras_deeplab.runs import Runs, find_runs


def find_column_runs(label: np.ndarray) -> Runs:
    """The runs of a label map read column by column, as COCO's code reads it.

    Args:
        label: integer `[H, W]`, not empty, values that fit into int32.

    Returns:
        `Runs` of the map laid out as one row, `[1, W * H]`, so that a run may go on in the next column.
    """
    # Several times faster than copying numpy's transposed view.
    return find_runs(cv2.transpose(label.astype(np.int32, copy=False)).reshape(1, -1))


def encode_masks(runs: Runs, segments: np.ndarray, size: tuple[int, int]) -> list[bytes]:
    """The masks of some segments in COCO's compressed run-length code.

    Args:
        runs: `Runs` from `find_column_runs`.
        segments: int `[N]`, indices in `runs.ids`.
        size: `(height, width)` of the map.

    Returns:
        List of N bytes, the `"counts"` of COCO's masks.

    Raises:
        ImportError: when pycocotools is not installed.

    Example:
    ```python
    runs = find_column_runs(np.array([[5, 5], [7, 5]]))
    encode_masks(runs, segments=np.array([1]), size=(2, 2))  # one pixel, the second: [b"112"]
    ```
    """
    from pycocotools import mask

    if len(segments) == 0:
        return []
    codes = [{"size": size, "counts": lengths} for lengths in _alternating_lengths(runs, segments)]
    return [code["counts"] for code in mask.frPyObjects(codes, *size)]


def _alternating_lengths(runs, segments):
    """Per segment, the lengths of the runs outside and inside of it, in turn, from one outside on."""
    position = np.full(len(runs.ids), len(segments))
    position[segments] = np.arange(len(segments))
    position = position[runs.segment]
    order = np.argsort(position, kind="stable")[: np.count_nonzero(position < len(segments))]
    starts, inside = runs.columns[order], runs.lengths[order]
    ends = starts + inside

    first = np.searchsorted(position[order], np.arange(len(segments)))
    outside = starts.copy()
    outside[1:] -= ends[:-1]
    outside[first] = starts[first]
    last = np.append(first[1:], len(order)) - 1
    rest = runs.shape[1] - ends[last]

    lengths = np.insert(np.stack([outside, inside], axis=-1).reshape(-1), 2 * (last + 1), rest)
    boundaries = 2 * first[1:] + np.arange(1, len(segments))
    # A code does not end with an empty run outside.
    return [part if part[-1] else part[:-1] for part in np.split(lengths, boundaries)]
