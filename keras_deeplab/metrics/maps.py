"""Reading the maps that a metric compares."""

from __future__ import annotations

import numpy as np

from keras_deeplab.segments import as_label_map


def read_pair(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps of the same size as batches.

    Args:
        truth: integer array `[H, W]` or `[B, H, W]`.
        prediction: integer array of the same shape.

    Returns:
        Both as `[B, H, W]`, in their own dtypes.

    Raises:
        ValueError: when one does not hold integers or the shapes differ.
    """
    truth = as_label_map("truth", truth, ndim=(2, 3))
    prediction = as_label_map("prediction", prediction, ndim=(2, 3))
    if truth.shape != prediction.shape:
        raise ValueError(
            "`truth` and `prediction` must have the same shape; resize predictions to the size of the truth. "
            f"Received: {truth.shape} and {prediction.shape}"
        )
    return (truth[None], prediction[None]) if truth.ndim == 2 else (truth, prediction)
