"""Panoptic quality of panoptic maps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.segments import check_classes, count_pairs

_CONVENTIONS = ("deeplab2", "official")


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
        if convention not in _CONVENTIONS:
            raise ValueError(
                f"`convention` must be one of {_CONVENTIONS}. Received: convention={convention!r}"
            )
        self.label_space = LabelSpace.create(label_space)
        self.convention = convention
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.iou = np.zeros(self.label_space.num_classes, np.float64)
        self.true_positives = np.zeros(self.label_space.num_classes, np.int64)
        self.false_positives = np.zeros(self.label_space.num_classes, np.int64)
        self.false_negatives = np.zeros(self.label_space.num_classes, np.int64)

    def update(self, truth, prediction) -> None:
        """Adds one image or a batch.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.

        Raises:
            ValueError: when the shapes differ or a map holds a class that the label space lacks.
        """
        for true_map, predicted_map in zip(*read_pair(truth, prediction), strict=True):
            self._update_image(*count_pairs(true_map, predicted_map))

    def _update_image(self, true_id, predicted_id, intersection):
        truth = _Segments("truth", true_id, intersection, self.label_space)
        prediction = _Segments("prediction", predicted_id, intersection, self.label_space)
        true_class, predicted_class = truth.classes[truth.index], prediction.classes[prediction.index]
        official = self.convention == "official"
        is_void = (
            true_class == self.label_space.ignore_label if official else true_id == self.label_space.void
        )
        is_crowd = np.zeros_like(is_void)
        if official:
            is_crowd = np.isin(true_id, np.multiply(self.label_space.things, self.label_space.label_divisor))

        on_void = prediction.sum(intersection * is_void)
        on_crowd = prediction.sum(intersection * (is_crowd & (true_class == predicted_class)))

        union = truth.area[truth.index] + (prediction.area - on_void)[prediction.index] - intersection
        comparable = (
            (true_class == predicted_class) & (true_class != self.label_space.ignore_label) & ~is_crowd
        )
        match = comparable & (2 * intersection > union)
        np.add.at(self.iou, true_class[match], intersection[match] / union[match])
        np.add.at(self.true_positives, true_class[match], 1)

        must_be_found = (truth.sum(match | is_crowd) == 0) & (truth.classes != self.label_space.ignore_label)
        np.add.at(self.false_negatives, truth.classes[must_be_found], 1)

        excused = 2 * (on_void + on_crowd) > prediction.area
        wrong = (
            (prediction.sum(match) == 0) & ~excused & (prediction.classes != self.label_space.ignore_label)
        )
        np.add.at(self.false_positives, prediction.classes[wrong], 1)

    def merge(self, other: PanopticQuality) -> None:
        """Adds what another metric of the same label space and convention has counted.

        Raises:
            ValueError: when the label spaces or conventions differ.
        """
        if (other.label_space, other.convention) != (self.label_space, self.convention):
            raise ValueError(
                "Only metrics of one label space and convention merge. "
                f"Received: {self.label_space.name!r}, {self.convention!r} "
                f"and {other.label_space.name!r}, {other.convention!r}"
            )
        self.iou += other.iou
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with floats `"pq"`, `"sq"`, `"rq"` (means over all classes that occur), the same with
            `"_things"` and `"_stuff"` appended, and `"per_class"` with `"pq"`, `"sq"`, `"rq"` (float64),
            `"tp"`, `"fp"`, `"fn"` (int64), each `[num_classes]`. NaN stands for a class, or a mean over
            classes, that never occurs.
        """
        tp, fp, fn = self.true_positives, self.false_positives, self.false_negatives
        occurs = tp + fp + fn > 0
        sq, rq = np.full(occurs.shape, np.nan), np.full(occurs.shape, np.nan)
        np.divide(self.iou, np.maximum(tp, 1), out=sq, where=occurs)
        np.divide(tp, tp + 0.5 * fp + 0.5 * fn, out=rq, where=occurs)
        qualities = {"pq": sq * rq, "sq": sq, "rq": rq}

        is_thing = self.label_space.is_thing
        groups = {"": occurs, "_things": occurs & is_thing, "_stuff": occurs & ~is_thing}
        means = {
            name + suffix: float(values[group].mean()) if group.any() else float("nan")
            for suffix, group in groups.items()
            for name, values in qualities.items()
        }
        return means | {"per_class": qualities | {"tp": tp.copy(), "fp": fp.copy(), "fn": fn.copy()}}


class _Segments:
    """The segments of one side of the overlapping pairs.

    Attributes:
        index: `[pairs]`, which segment each pair belongs to.
        classes, area: `[segments]`.
    """

    def __init__(self, name, id_of_pair, intersection, label_space):
        ids, self.index = np.unique(id_of_pair, return_inverse=True)
        self.classes = ids // label_space.label_divisor
        check_classes(name, self.classes, label_space)
        self.area = self.sum(intersection)

    def sum(self, value_of_pair):
        """Per segment, the sum of an integer value over its pairs."""
        count = self.index.max(initial=-1) + 1
        return np.bincount(self.index, weights=value_of_pair, minlength=count).astype(np.int64)
