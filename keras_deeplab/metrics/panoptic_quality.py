"""Panoptic quality of panoptic maps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.metrics.segment_matching import (
    add_matches,
    check_convention,
    empty_counts,
    summarize_quality,
)
from keras_deeplab.segments import count_pairs


class PanopticQuality:
    """Panoptic, segmentation and recognition quality (Kirillov et al. 2019, section 4).

    A predicted and a true segment of one class match when their intersection over union, void excluded,
    exceeds 0.5. Per class, SQ is the mean IoU of the matches, RQ their F1 score, and PQ = SQ * RQ; the means
    are over the classes that occur in the truth or the prediction. Unmatched predictions that lie mostly on
    void are not counted.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        convention: `"deeplab2"` treats a crowd region of the truth (thing class with instance 0) as a
            segment like any other. `"official"` follows the COCO and Cityscapes evaluation scripts: crowd
            regions need not be found, and predictions of their class that lie mostly on crowd or void are
            not counted. The two also differ in void: `"deeplab2"` takes only the exact value
            `label_space.void`, `"official"` every instance of `ignore_label`.

    Attributes:
        true_positives, false_positives, false_negatives: int64 `[num_classes]`, numbers of segments.
        iou: float64 `[num_classes]`, the summed IoU of the matches.

    Raises:
        ValueError: for an unknown convention.

    Example:
    ```python
    metric = PanopticQuality("cityscapes", convention="official")
    truth = np.array([[7000, 7000, 11001, 11002]])
    metric.update(truth, prediction=truth)
    metric.result()["pq"]  # 1.0
    ```
    """

    def __init__(
        self, label_space: LabelSpace | dict | str, convention: Literal["deeplab2", "official"] = "deeplab2"
    ):
        self.label_space = LabelSpace.create(label_space)
        self.convention = check_convention(convention)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        vars(self).update(empty_counts(self.label_space))

    def update(self, truth, prediction) -> None:
        """Adds one image or a batch.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.

        Raises:
            ValueError: when the shapes differ or a map holds a class that the label space lacks.
        """
        self.add(self.count(truth, prediction))

    def count(self, truth, prediction) -> dict[str, np.ndarray]:
        """What `update` adds: this metric's attributes for these maps alone. Changes nothing."""
        counts = empty_counts(self.label_space)
        for true_map, predicted_map in zip(*read_pair(truth, prediction), strict=True):
            pairs = count_pairs(true_map, predicted_map)
            add_matches(counts, *pairs, self.label_space, self.convention)
        return counts

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        for name, value in counts.items():
            setattr(self, name, getattr(self, name) + value)

    def merge(self, other: PanopticQuality) -> None:
        """Adds what another metric of the same label space and convention has counted.

        Raises:
            ValueError: when the label spaces or conventions differ.
        """
        check_mergeable(self, other, "label_space", "convention")
        self.add({name: getattr(other, name) for name in empty_counts(self.label_space)})

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with floats `"pq"`, `"sq"`, `"rq"` (means over all classes that occur), the same with
            `"_things"` and `"_stuff"` appended, and `"per_class"` with `"pq"`, `"sq"`, `"rq"` (float64),
            `"tp"`, `"fp"`, `"fn"` (int64), each `[num_classes]`. NaN stands for a class, or a mean over
            classes, that never occurs.
        """
        return summarize_quality(
            self.label_space, self.iou, self.true_positives, self.false_positives, self.false_negatives
        )
