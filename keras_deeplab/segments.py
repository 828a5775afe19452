"""The segments of label maps: how maps overlap, and where each segment lies.

Label maps are made of long runs of equal values, so that everything here counts runs instead of pixels.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs

_MAX_INT32 = np.iinfo(np.int32).max


def as_label_map(name: str, value, ndim: tuple[int, ...] = (2,)) -> np.ndarray:
    """The value as an integer array, or an error that names it.

    Args:
        name: str. What the map is called in the error.
        value: array-like.
        ndim: tuple of int. The accepted numbers of dimensions.

    Returns:
        The array, in its own dtype.

    Raises:
        ValueError: when it does not hold integers or has another number of dimensions.
    """
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`{name}` must hold integers. Received: dtype={array.dtype}")
    if array.ndim not in ndim:
        shapes = " or ".join("[height, width]" if n == 2 else "[batch, height, width]" for n in ndim)
        raise ValueError(f"`{name}` must have the shape {shapes}. Received: shape={array.shape}")
    return array


def count_pairs(
    truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many pixels have each pair of values in two maps of the same shape.

    Args:
        truth: integer array of any shape, values in 0..2**31-1.
        prediction: integer array of the same shape and range.
        weights: optional float array of the same shape, how much each pixel counts.

    Returns:
        `(truth_values, prediction_values, pixels)`: three int64 arrays with one entry per pair that
        occurs, sorted by the values. With `weights`, `pixels` is float64.

    Raises:
        ValueError: when a value is out of range.

    Example:
    ```python
    count_pairs(np.array([[1, 1, 2]]), np.array([[5, 5, 5]]))  # ([1, 2], [5, 5], [2, 1])
    ```
    """
    if truth.size == 0:
        return (*(np.zeros(0, np.int64),) * 2, np.zeros(0, np.int64 if weights is None else np.float64))
    starts = _joint_run_starts(truth.ravel(), prediction.ravel())
    if weights is None:
        counted = np.diff(starts, append=truth.size)
    else:
        counted = np.add.reduceat(weights.ravel(), starts, dtype=np.float64)
    truth = _in_int32("truth", truth.ravel()[starts])
    prediction = _in_int32("prediction", prediction.ravel()[starts])
    pairs, pair_of_run = np.unique((truth << 32) | prediction, return_inverse=True)
    pixels = np.bincount(pair_of_run, weights=counted)
    return pairs >> 32, pairs & 0xFFFFFFFF, pixels if weights is not None else pixels.astype(np.int64)


def describe_segments(
    panoptic: np.ndarray, label_space: LabelSpace, score: np.ndarray | None = None
) -> list[dict]:
    """What there is to say about every segment of a panoptic map, void excluded.

    Args:
        panoptic: integer array `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace`.
        score: optional float array `[H, W]`, the confidence of each pixel.

    Returns:
        List of dicts in the order of their ids: `"id"` (the panoptic value), `"class_id"`, `"category_id"`
        (the dataset's own id), `"class"` (its name), `"isthing"` (bool), `"area"` (pixels), `"bbox"`
        (`[x, y, width, height]` in pixels) and `"score"` (the mean over the segment, `None` without `score`).

    Raises:
        ValueError: when the map holds a class that the label space lacks.

    Example:
    ```python
    describe_segments(np.array([[13_001, 13_001]]), CITYSCAPES)[0]["bbox"]  # [0, 0, 2, 1]
    ```
    """
    if panoptic.size == 0:
        return []
    runs = find_runs(panoptic)
    ids = _in_int32("panoptic", runs.ids)
    classes = ids // label_space.label_divisor
    check_classes("panoptic", classes, label_space)

    area, (top, left, bottom, right) = runs.areas().astype(np.int64), runs.boxes().T
    mean_score = None if score is None else runs.means(score)

    return [
        {
            "id": int(ids[i]),
            "class_id": int(classes[i]),
            "category_id": label_space.category_id(int(classes[i])),
            "class": label_space.classes[classes[i]],
            "isthing": int(classes[i]) in label_space.things,
            "area": int(area[i]),
            "bbox": [int(left[i]), int(top[i]), int(right[i] - left[i]), int(bottom[i] - top[i])],
            "score": None if mean_score is None else float(mean_score[i]),
        }
        for i in np.flatnonzero(classes != label_space.ignore_label)
    ]


def number_segments(panoptic: np.ndarray, ids: list[int]) -> np.ndarray:
    """Which of some segments each pixel belongs to.

    Args:
        panoptic: integer array `[H, W]`.
        ids: sorted list of int, panoptic values.

    Returns:
        int64 array `[H, W]`, the position in `ids` plus 1, and 0 for pixels of other segments.

    Example:
    ```python
    number_segments(np.array([[3, 9, 5]]), [3, 5])  # [[1, 0, 2]]
    ```
    """
    if not ids:
        return np.zeros(panoptic.shape, np.int64)
    runs = find_runs(panoptic)
    number = np.zeros(runs.ids.size, np.int64)
    _, here, position = np.intersect1d(runs.ids, ids, return_indices=True)
    number[here] = position + 1
    return runs.paint(number, np.int64)


def check_classes(
    name: str, classes: np.ndarray, label_space: LabelSpace, void_classes: Collection[int] = ()
) -> None:
    """Checks that the classes of a map are those of a label space.

    Args:
        name: str. What the map is called in the error.
        classes: integer array of any shape; one entry per segment is enough.
        label_space: `LabelSpace`.
        void_classes: classes that are void, besides the label space's `ignore_label`.

    Raises:
        ValueError: when a class is neither in the label space nor void.

    Example:
    ```python
    check_classes("panoptic", np.array([0, 13, 255]), CITYSCAPES)
    ```
    """
    void = sorted({label_space.ignore_label, *void_classes})
    unknown = classes[(classes < 0) | (classes >= label_space.num_classes)]
    for value in void:
        unknown = unknown[unknown != value]
    if unknown.size:
        raise ValueError(
            f"`{name}` holds the class {', '.join(map(str, np.unique(unknown)[:10]))}, but the label space "
            f"{label_space.name!r} has the classes 0 to {label_space.num_classes - 1} and "
            f"{', '.join(map(str, void))} for void. Check that it is the map's label space, with the same "
            f"classes and label_divisor {label_space.label_divisor}."
        )


def _joint_run_starts(first, second):
    """Flat positions at which either of two flat maps takes a new value."""
    starts = np.empty(first.size, bool)
    starts[0] = True
    np.not_equal(first[1:], first[:-1], out=starts[1:])
    starts[1:] |= second[1:] != second[:-1]
    return np.flatnonzero(starts)


def _in_int32(name, values):
    values = values.astype(np.int64)
    if values.min() < 0 or values.max() > _MAX_INT32:
        raise ValueError(
            f"`{name}` must hold values from 0 to {_MAX_INT32}. Received: {values.min()} to {values.max()}"
        )
    return values
