"""Label maps as horizontal runs of equal value, so that work is done per run and not per pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Runs(NamedTuple):
    """The runs of a label map.

    Attributes:
        shape: `(H, W)` of the map.
        ids: int64 `[K]`, the values of the map, ascending.
        segment: int `[N]`, the index in `ids` of each run's value.
        rows: int `[N]`, the row of each run.
        columns: int `[N]`, the first column of each run.
        lengths: int `[N]`, the number of pixels of each run.
    """

    shape: tuple[int, int]
    ids: np.ndarray
    segment: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    lengths: np.ndarray

    def paint(self, values: np.ndarray, dtype) -> np.ndarray:
        """A map `[H, W]` of `dtype` from one value per id, `values` `[K]`."""
        return np.repeat(values.astype(dtype)[self.segment], self.lengths).reshape(self.shape)

    def areas(self) -> np.ndarray:
        """Number of pixels of each id, float64 `[K]`."""
        return np.bincount(self.segment, self.lengths, len(self.ids))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of a map `values` `[H, W]` over the pixels of each id, float64 `[K]`."""
        starts = self.rows * self.shape[1] + self.columns
        sum_of_run = np.add.reduceat(values.reshape(-1), starts, dtype=np.float64)
        return np.bincount(self.segment, sum_of_run, len(self.ids)) / self.areas()

    def centers(self) -> np.ndarray:
        """Mean (y, x) of the pixels of each id, float64 `[K, 2]`."""
        middles = self.columns + (self.lengths - 1) / 2
        sums = [
            np.bincount(self.segment, self.lengths * position, len(self.ids))
            for position in (self.rows, middles)
        ]
        return np.stack(sums, axis=-1) / self.areas()[:, None]

    def boxes(self) -> np.ndarray:
        """Bounding box of each id, int64 `[K, 4]`: top, left, and the ends of its rows and columns."""
        order = np.argsort(self.segment, kind="stable")
        starts = np.searchsorted(self.segment[order], np.arange(len(self.ids)))
        rows, columns = self.rows[order], self.columns[order]
        ends = columns + self.lengths[order]
        extremes = (np.minimum, rows), (np.minimum, columns), (np.maximum, rows + 1), (np.maximum, ends)
        return np.stack([extreme.reduceat(values, starts) for extreme, values in extremes], axis=-1)

    def order_of_appearance(self) -> np.ndarray:
        """Indices of the ids in the order in which they first come up, row by row, int `[K]`."""
        return np.argsort(np.unique(self.segment, return_index=True)[1])


def find_runs(label: np.ndarray) -> Runs:
    """The horizontal runs of a label map.

    Args:
        label: integer `[H, W]`, not empty.

    Returns:
        `Runs`, in row-major order.

    Raises:
        ValueError: when the map is not a non-empty integer `[H, W]`.

    Example:
    ```python
    runs = find_runs(np.array([[5, 5, 9]]))
    runs.ids, runs.lengths  # [5, 9], [2, 1]
    ```
    """
    label = np.asarray(label)
    if label.ndim != 2 or label.size == 0 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            "A label map must be a non-empty integer array of shape [H, W]. "
            f"Received: shape {label.shape}, dtype {label.dtype}"
        )
    values = label.reshape(-1)
    starts_here = np.empty(label.size, bool)
    np.not_equal(values[1:], values[:-1], out=starts_here[1:])
    starts_here[:: label.shape[1]] = True
    starts = np.flatnonzero(starts_here)
    lengths = np.diff(starts, append=label.size)
    ids, segment = np.unique(values[starts], return_inverse=True)
    rows, columns = np.divmod(starts, label.shape[1])
    return Runs(label.shape, ids.astype(np.int64), segment, rows, columns, lengths)
