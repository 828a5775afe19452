"""Mean intersection over union of semantic maps."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.segments import check_classes, count_pairs


class MeanIoU:
    """Mean over the classes of intersection over union, from one confusion matrix over all images.

    Pixels whose truth is `ignore_label` do not count. A predicted `ignore_label` outside of the classes is a
    false negative of the true class and a false positive of none. The mean is over the classes with a
    non-zero union.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.

    Attributes:
        confusion: int64 `[num_classes, num_classes + 1]`, pixels by true and predicted class. The last
            column counts pixels that are predicted as no class.

    Example:
    ```python
    metric = MeanIoU("cityscapes")
    metric.update(truth=np.zeros((2, 4), int), prediction=np.array([[0, 0, 0, 1]] * 2))
    metric.result()["miou"]  # 0.375: the mean of 3/4 for road and 0 for sidewalk
    ```
    """

    def __init__(self, label_space: LabelSpace | dict | str):
        self.label_space = LabelSpace.create(label_space)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.confusion = np.zeros((self.label_space.num_classes, self.label_space.num_classes + 1), np.int64)

    def update(self, truth, prediction) -> None:
        """Adds one image or a batch.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, the true classes or `ignore_label`.
            prediction: integer array of the same shape, the predicted classes or `ignore_label`.

        Raises:
            ValueError: when the shapes differ or a value is no class of the label space.
        """
        self.add(self.count(truth, prediction))

    def count(self, truth, prediction) -> dict[str, np.ndarray]:
        """What `update` adds: the `"confusion"` of these maps alone. Changes nothing."""
        true_class, predicted_class, pixels = count_pairs(*read_pair(truth, prediction))
        check_classes("truth", true_class, self.label_space)
        check_classes("prediction", predicted_class, self.label_space)
        valid = true_class != self.label_space.ignore_label
        column = np.minimum(predicted_class, self.label_space.num_classes)
        confusion = np.zeros_like(self.confusion)
        np.add.at(confusion, (true_class[valid], column[valid]), pixels[valid])
        return {"confusion": confusion}

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        self.confusion += counts["confusion"]

    def merge(self, other: MeanIoU) -> None:
        """Adds what another metric of the same label space has counted.

        Raises:
            ValueError: when the label spaces differ.
        """
        check_mergeable(self, other, "label_space")
        self.confusion += other.confusion

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with `"miou"` (float, NaN when nothing counted) and `"per_class"`, whose `"iou"` is float64
            `[num_classes]` with NaN for classes that are neither true nor predicted.
        """
        counted = self.confusion[:, :-1]
        intersection = np.diag(counted)
        union = self.confusion.sum(axis=1) + counted.sum(axis=0) - intersection
        iou = np.full(intersection.shape, np.nan)
        np.divide(intersection, union, out=iou, where=union > 0)
        miou = iou[union > 0].mean() if (union > 0).any() else np.nan
        return {"miou": float(miou), "per_class": {"iou": iou}}
