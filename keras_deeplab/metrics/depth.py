"""Errors of predicted depth."""

from __future__ import annotations

import numpy as np

from keras_deeplab.metrics.merging import check_mergeable

ERRORS = ("silog", "abs_rel", "sq_rel", "rmse", "inlier_1.25", "inlier_1.25^2", "inlier_1.25^3")


class DepthMetrics:
    """Errors of depth maps: the mean over images of what is measured in each image's known pixels.

    With predicted depth d and true depth d*:

    - `"silog"`: 100 times the standard deviation of log d - log d*, so that a common scale does not matter.
    - `"abs_rel"`, `"sq_rel"`: means of |d - d*| / d* and of ((d - d*) / d*)^2.
    - `"rmse"`: root of the mean squared error, in metres.
    - `"inlier_1.25"`, `"inlier_1.25^2"`, `"inlier_1.25^3"`: share of pixels whose ratio max(d / d*, d* / d)
      is less than that.

    A predicted depth of 0 is no inlier and makes `"silog"` NaN or infinite, as in DeepLab2.

    Attributes:
        values: float64 `[images, 7]`, the metrics of each image with known depth, in the order of `ERRORS`.

    Source: Eigen et al. 2014, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network",
    section 4; silog and sq_rel as in the KITTI depth benchmark.

    Example:
    ```python
    metric = DepthMetrics()
    metric.update(np.array([[10.0, 20.0, 0.0]]), np.array([[11.0, 20.0, 5.0]]))
    metric.result()["abs_rel"]  # 0.05: the last pixel is not known
    ```
    """

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._values = [np.zeros((0, len(ERRORS)))]

    @property
    def values(self) -> np.ndarray:
        """float64 `[images, 7]`, the metrics of each image with known depth."""
        if len(self._values) > 1:
            self._values = [np.concatenate(self._values)]
        return self._values[0]

    def update(self, true_depth, predicted_depth) -> None:
        """Adds one image or a batch.

        Args:
            true_depth: float array `[H, W]` or `[B, H, W]`, metres. Where it is not positive and finite,
                the depth is not known and the pixel does not count.
            predicted_depth: float array of the same shape, metres.

        Raises:
            ValueError: when shapes differ, a map does not hold floats, or the prediction is NaN where the
                true depth is known.
        """
        self.add(self.count(true_depth, predicted_depth))

    def count(self, true_depth, predicted_depth) -> dict[str, np.ndarray]:
        """What `update` adds: the `"values"` of the images with known depth. Changes nothing."""
        pairs = zip(*read_depths(true_depth, predicted_depth), strict=True)
        values = [_measure(*known) for known in (select_known(*pair) for pair in pairs) if known[0].size]
        return {"values": np.reshape(values, (-1, len(ERRORS)))}

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        self._values.append(counts["values"])

    def merge(self, other: DepthMetrics) -> None:
        """Adds what another metric has counted."""
        check_mergeable(self, other)
        self._values.append(other.values)

    def result(self) -> dict:
        """The metrics over all images so far.

        Returns:
            Dict with the floats of `ERRORS`, NaN when there are no images, and `"images"` (int), the number
            of images with known depth.
        """
        # Sorted, so that rounding does not depend on the order of the images.
        values = np.sort(self.values, axis=0)
        means = values.mean(axis=0) if len(values) else np.full(len(ERRORS), np.nan)
        return dict(zip(ERRORS, means.tolist(), strict=True)) | {"images": len(values)}


def read_depths(true_depth, predicted_depth) -> tuple[np.ndarray, np.ndarray]:
    """Two depth maps of the same size as batches.

    Args:
        true_depth: float array `[H, W]` or `[B, H, W]`.
        predicted_depth: float array of the same shape.

    Returns:
        Both as `[B, H, W]`, in their own dtypes.

    Raises:
        ValueError: when one does not hold floats or the shapes differ.
    """
    maps = {"true_depth": np.asarray(true_depth), "predicted_depth": np.asarray(predicted_depth)}
    for name, depth in maps.items():
        if not np.issubdtype(depth.dtype, np.floating):
            raise ValueError(
                f"`{name}` must hold metres as floats; divide the integers of depth files by the dataset's "
                f"factor. Received: dtype={depth.dtype}"
            )
        if depth.ndim not in (2, 3):
            raise ValueError(
                f"`{name}` must have the shape [height, width] or [batch, height, width]. "
                f"Received: shape={depth.shape}"
            )
    truth, prediction = maps.values()
    if truth.shape != prediction.shape:
        raise ValueError(
            "`true_depth` and `predicted_depth` must have the same shape; resize predictions to the size of "
            f"the truth. Received: {truth.shape} and {prediction.shape}"
        )
    return (truth[None], prediction[None]) if truth.ndim == 2 else (truth, prediction)


def check_size_of_maps(shape: tuple[int, ...], depths: np.ndarray) -> None:
    """Raises a ValueError when depths, from `read_depths`, do not have the shape of panoptic maps."""
    shape = shape if len(shape) == 3 else (1, *shape)
    if depths.shape != shape:
        raise ValueError(
            "Panoptic maps and depth maps must have the same shape. "
            f"Received: {shape} and {depths.shape}, with the batch"
        )


def is_known(true_depth: np.ndarray) -> np.ndarray:
    """Where a true depth says something, that is where it is positive and finite; bool of the same shape."""
    return (true_depth > 0) & np.isfinite(true_depth)


def select_known(true_depth: np.ndarray, predicted_depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both depths where the true one is known, that is positive and finite, as float64 `[pixels]`."""
    known = is_known(true_depth)
    return true_depth[known].astype(np.float64), predicted_depth[known].astype(np.float64)


def depth_ratio(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """max(d / d*, d* / d), float64 `[pixels]`; infinite where no depth is predicted (0, negative or NaN)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.maximum(prediction / truth, truth / prediction)
    return np.where(prediction > 0, ratio, np.inf)


def check_predicted(prediction: np.ndarray) -> None:
    """Raises a ValueError when predictions at pixels of known depth are NaN."""
    missing = np.count_nonzero(np.isnan(prediction))
    if missing:
        raise ValueError(
            f"`predicted_depth` is NaN at {missing} of the {prediction.size} pixels whose true depth is "
            "known. Predict a depth for every pixel, or set the true depth to 0 where none is to be judged."
        )


def _measure(truth, prediction):
    """The `ERRORS` of one image, from its known pixels."""
    check_predicted(prediction)
    error = prediction - truth
    relative, ratio = error / truth, depth_ratio(truth, prediction)
    with np.errstate(divide="ignore", invalid="ignore"):
        silog = 100 * np.std(np.log(prediction) - np.log(truth))
    errors = silog, np.abs(relative).mean(), np.square(relative).mean(), np.sqrt(np.square(error).mean())
    return *errors, *((ratio < 1.25**power).mean() for power in (1, 2, 3))
