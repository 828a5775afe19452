"""Pixels of pairs of values, summed over the images of a video."""

from __future__ import annotations

import numpy as np


class PairTotals:
    """How many pixels have each pair of true and predicted value, over many images.

    New pairs are kept apart until they outnumber the summed ones, so that adding an image costs the same
    however long the video is.

    Example:
    ```python
    totals = PairTotals()
    totals.add([1, 2], [5, 5], [2, 1])
    totals.add([2], [5], [3])
    totals.sum()  # [1, 2], [5, 5], [2.0, 4.0]
    ```
    """

    def __init__(self):
        self._parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))]

    def add(self, truth, prediction, pixels) -> None:
        """Adds pairs: three arrays `[pairs]` as from `keras_deeplab.segments.count_pairs`."""
        self._parts.append((truth, prediction, pixels))
        summed, *new = (len(part[0]) for part in self._parts)
        if sum(new) > summed:
            self.sum()

    def sum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Everything so far: int64 `truth` and `prediction` and float64 `pixels`, sorted by the values."""
        if len(self._parts) > 1:
            truth, prediction, pixels = (np.concatenate(part) for part in zip(*self._parts, strict=True))
            pairs, index = np.unique((truth << 32) | prediction, return_inverse=True)
            self._parts = [(pairs >> 32, pairs & 0xFFFFFFFF, np.bincount(index, pixels, len(pairs)))]
        return self._parts[0]
