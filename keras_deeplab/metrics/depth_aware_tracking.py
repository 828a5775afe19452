"""Depth-aware segmentation and tracking quality of panoptic videos with depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.depth import check_size_of_maps, depth_ratio, read_depths, select_known
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.metrics.tracking_quality import SegmentationAndTrackingQuality


class DepthAwareSTQ:
    """Depth-aware segmentation and tracking quality, DSTQ = (STQ^2 * DQ)^(1/3).

    Depth quality (DQ) at a threshold is the share of the pixels with known depth whose ratio
    max(d / d*, d* / d) of predicted and true depth is at most the threshold; where no depth is predicted (0,
    negative or NaN) it is not. DQ is the geometric mean over the thresholds. Pixels are pooled over all
    images, so that images with more known pixels weigh more; without any, DQ is 0.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        thresholds: sequence of float > 1, the ratios.

    Attributes:
        tracking: `SegmentationAndTrackingQuality` of the panoptic maps.
        depth_pixels: dict from sequence to int64 `[1 + thresholds]`: the pixels with known depth, and how
            many of them are within each threshold.

    Raises:
        ValueError: when the thresholds are none, repeat or are not above 1.

    Source: the video and depth track of the BMTT challenge at ICCV 2021; STQ is from Weber et al. 2021,
    "STEP: Segmenting and Tracking Every Pixel".

    Example:
    ```python
    metric = DepthAwareSTQ("semkitti_dvps")
    truth, depth = np.array([[13, 13, 0, 0]]) * 1000 + 1, np.full((1, 4), 10.0)
    metric.update(truth, truth, true_depth=depth, predicted_depth=1.2 * depth, sequence="08")
    metric.result()["dq@1.25"], metric.result()["dq@1.1"]  # 1.0, 0.0
    ```
    """

    def __init__(self, label_space: LabelSpace | dict | str, thresholds: Sequence[float] = (1.25, 1.1)):
        self.tracking = SegmentationAndTrackingQuality(label_space)
        self.label_space = self.tracking.label_space
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        if not self.thresholds or len(set(self.thresholds)) < len(self.thresholds):
            raise ValueError(f"`thresholds` must be different ratios. Received: thresholds={thresholds}")
        if not all(threshold > 1 for threshold in self.thresholds):
            raise ValueError(f"`thresholds` must be ratios above 1. Received: thresholds={thresholds}")
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.tracking.reset()
        self.depth_pixels: dict[str | int, np.ndarray] = {}

    def update(self, truth, prediction, true_depth, predicted_depth, sequence) -> None:
        """Adds one image or a batch. The images of a sequence may come in any order.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.
            true_depth: float array of the same shape, metres. Where it is not positive and finite, the
                depth is not known.
            predicted_depth: float array of the same shape, metres.
            sequence: str or int, the sequence that the images belong to, or one for each image of a batch.

        Raises:
            ValueError: when shapes differ, a map holds a class that the label space lacks, depths are not
                floats, or the ids of sequences do not suit.
        """
        self.add(self.count(truth, prediction, true_depth, predicted_depth, sequence))

    def count(self, truth, prediction, true_depth, predicted_depth, sequence) -> dict[str, np.ndarray]:
        """What `update` adds: the counts of `tracking`, and `"depth_pixels"`, int64 `[B, 1 + thresholds]`.
        Changes nothing."""
        counts = self.tracking.count(truth, prediction, sequence)
        depths = read_depths(true_depth, predicted_depth)
        check_size_of_maps(np.shape(truth), depths[0])
        rows = [self._count_inliers(*select_known(*pair)) for pair in zip(*depths, strict=True)]
        return counts | {"depth_pixels": np.array(rows, np.int64).reshape(-1, 1 + len(self.thresholds))}

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        self.tracking.add(counts)
        for sequence, row in zip(counts["sequence"].tolist(), counts["depth_pixels"], strict=True):
            self.depth_pixels[sequence] = self.depth_pixels.get(sequence, 0) + row

    def merge(self, other: DepthAwareSTQ) -> None:
        """Adds what another metric of the same label space and thresholds has counted.

        Raises:
            ValueError: when the label spaces or thresholds differ.
        """
        check_mergeable(self, other, "label_space", "thresholds")
        self.tracking.merge(other.tracking)
        for sequence, row in other.depth_pixels.items():
            self.depth_pixels[sequence] = self.depth_pixels.get(sequence, 0) + row

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with floats `"dstq"`, `"dq"`, `"stq"`, `"aq"` and `"iou"`; for each threshold, `"dstq@1.25"`
            and `"dq@1.25"`; `"per_class"` as from `SegmentationAndTrackingQuality`; and `"per_sequence"`, a
            dict from each sequence to the same floats of its own and `"frames"` (int).
        """
        tracking = self.tracking.result()
        per_sequence = {
            sequence: self._judge_depth(self.depth_pixels[sequence], scores["stq"]) | scores
            for sequence, scores in tracking["per_sequence"].items()
        }
        total = sum(self.depth_pixels.values(), start=np.zeros(1 + len(self.thresholds), np.int64))
        return self._judge_depth(total, tracking["stq"]) | tracking | {"per_sequence": per_sequence}

    def _count_inliers(self, truth, prediction):
        ratio = depth_ratio(truth, prediction)
        return [truth.size, *(np.count_nonzero(ratio <= threshold) for threshold in self.thresholds)]

    def _judge_depth(self, pixels, stq):
        """The values that depend on depth, from a row of `depth_pixels`."""
        known, *inliers = pixels.tolist()
        share = [count / max(known, 1) for count in inliers]
        dq = {"dq": float(np.prod(share) ** (1 / len(share)))}
        dq |= {f"dq@{threshold}": value for threshold, value in zip(self.thresholds, share, strict=True)}
        return {name.replace("dq", "dstq"): float(np.cbrt(stq**2 * value)) for name, value in dq.items()} | dq
