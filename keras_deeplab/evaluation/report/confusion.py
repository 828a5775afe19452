"""Which classes are taken for which, from a confusion matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_deeplab.labels import LabelSpace


class Confusion(NamedTuple):
    """Pixels of one class that are taken for another.

    Attributes:
        truth: int, the true class.
        prediction: int, the predicted class; `num_classes` for void.
        share: float, of all pixels of the true class.
        pixels: int.
    """

    truth: int
    prediction: int
    share: float
    pixels: int


def read_confusion(confusion, label_space: LabelSpace) -> np.ndarray:
    """A confusion matrix whose last column holds all that is predicted as void.

    Args:
        confusion: integers `[num_classes, num_classes + 1]`, pixels by true and predicted class, as
            `MeanIoU.confusion`.
        label_space: `LabelSpace`. Where void is one of its classes, the column of that class is void, too.

    Returns:
        int64 array of the same shape.

    Raises:
        ValueError: for another shape, other numbers or negative ones.
    """
    confusion = np.asarray(confusion)
    shape = (label_space.num_classes, label_space.num_classes + 1)
    if confusion.shape != shape or not np.issubdtype(confusion.dtype, np.integer) or confusion.min() < 0:
        raise ValueError(
            f"The confusion matrix must hold pixel counts of shape {shape} for the label space "
            f"{label_space.name!r}. Received: {confusion.dtype} of shape {confusion.shape}"
        )
    confusion = confusion.astype(np.int64)
    if label_space.ignore_label < label_space.num_classes:
        confusion[:, -1] += confusion[:, label_space.ignore_label]
        confusion[:, label_space.ignore_label] = 0
        confusion[label_space.ignore_label] = 0
    return confusion


def class_shares(confusion: np.ndarray) -> np.ndarray:
    """What share of each true class is predicted as which.

    Args:
        confusion: int64 `[num_classes, num_classes + 1]`.

    Returns:
        float64 of the same shape; rows sum to 1, and are NaN for classes without pixels.

    Example:
    ```python
    class_shares(np.array([[3, 1, 0], [0, 0, 0]]))  # [[0.75, 0.25, 0.0], [nan, nan, nan]]
    ```
    """
    pixels = confusion.sum(axis=1, keepdims=True)
    shares = np.full(confusion.shape, np.nan)
    return np.divide(confusion, pixels, out=shares, where=pixels > 0)


def largest_confusions(confusion: np.ndarray, count: int) -> list[Confusion]:
    """The pairs of classes that lose the largest share of the true class, largest first.

    Args:
        confusion: int64 `[num_classes, num_classes + 1]`.
        count: int. How many pairs to give at most.

    Returns:
        List of `Confusion`.

    Example:
    ```python
    largest_confusions(np.array([[3, 1, 0], [0, 4, 0]]), count=10)  # [Confusion(0, 1, 0.25, 1)]
    ```
    """
    wrong = class_shares(confusion)
    wrong[np.isnan(wrong)] = 0
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), wrong.shape[1]) for place in order if wrong.flat[place] > 0]
    return [Confusion(t, p, float(wrong[t, p]), int(confusion[t, p])) for t, p in pairs]


def classes_to_show(confusion: np.ndarray, most: int) -> list[int]:
    """The classes that a picture of the matrix needs.

    Args:
        confusion: int64 `[num_classes, num_classes + 1]`.
        most: int. How many classes there is room for.

    Returns:
        List of int, ascending: all classes that occur in the truth or the prediction, or where these are
        more than `most`, the true classes with the smallest share of right pixels.
    """
    occurs = (confusion.sum(axis=1) > 0) | (confusion[:, :-1].sum(axis=0) > 0)
    if occurs.sum() <= most:
        return np.flatnonzero(occurs).tolist()
    right = np.diag(class_shares(confusion))
    most = min(most, np.count_nonzero(~np.isnan(right)))
    return sorted(np.argsort(right, kind="stable")[:most].tolist())  # NaN is sorted to the end
