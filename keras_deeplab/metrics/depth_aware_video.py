"""Depth-aware video panoptic quality: panoptic maps count where their depth is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.depth import (
    check_predicted,
    check_size_of_maps,
    is_known,
    read_depths,
    select_known,
)
from keras_deeplab.metrics.frame_overlaps import Overlap, add_up, count_overlap, pack_frames, read_frames
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.metrics.video_panoptic_quality import GROUPS, VideoPanopticQuality
from keras_deeplab.segments import count_pairs

_FRAME_KEYS = ("sequence", "frame")  # which all thresholds have in common


class DepthAwareVPQ:
    """Depth-aware video panoptic quality (Qiao et al. 2021, "ViP-DeepLab", section 3.2).

    Predicted pixels whose depth is off by more than a threshold, relative to the true depth, become void;
    `VideoPanopticQuality` then compares with the truth. DVPQ is the mean over the thresholds and the lengths
    of windows. Pixels of unknown true depth keep their prediction; those of void truth lose it like others.

    Void predictions are false positives of no class. Means are over the classes that occur in the truth or
    the prediction, at this threshold and in windows of this length. The script that came with ViP-DeepLab
    takes the mean over all classes, where an absent one is NaN (Cityscapes-DVPS) or 0 (SemKITTI-DVPS).

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        windows: sequence of int, the lengths of windows in frames. SemKITTI-DVPS uses `(1, 5, 10, 20)`.
        thresholds: sequence of float, the largest relative errors of depth that count as right. 0 stands for
            no look at the depth, as in ViP-DeepLab's script.

    Raises:
        ValueError: for windows that `VideoPanopticQuality` refuses, or for thresholds that are repeated or
            negative.

    Example:
    ```python
    metric = DepthAwareVPQ("cityscapes_dvps", windows=(1,), thresholds=(0.5, 0.1))
    car, depth = np.array([[13_001]]), np.array([[20.0]])
    metric.update(car, car, depth, 1.2 * depth, "0001", frame=0)
    result = metric.result()
    result["dvpq_at_0.5"], result["dvpq_at_0.1"], result["abs_rel"]  # 1.0, 0.0, 0.2
    ```
    """

    def __init__(
        self,
        label_space: LabelSpace | dict | str,
        windows: Sequence[int] = (1, 2, 3, 4),
        thresholds: Sequence[float] = (0.5, 0.25, 0.1),
    ):
        self.label_space = LabelSpace.create(label_space)
        self.thresholds = _check_thresholds(thresholds)
        self._metrics = {t: VideoPanopticQuality(self.label_space, windows) for t in self.thresholds}
        self.windows = self._metrics[self.thresholds[0]].windows
        self.reset()

    def reset(self) -> None:
        """Forgets all frames."""
        self._abs_rel = {}
        for metric in self._metrics.values():
            metric.reset()

    def update(self, truth, prediction, true_depth, predicted_depth, sequence, frame) -> None:
        """Adds one frame or a batch of frames, in any order.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.
            true_depth: float array of the same shape, metres. Where it is not positive and finite, the depth
                is not known.
            predicted_depth: float array of the same shape, metres.
            sequence: str or int, the video that the frame belongs to, or a list of `B` of them.
            frame: int, the number of the frame in its video, or a list of `B` of them.

        Raises:
            ValueError: when the shapes differ, a map holds a class that the label space lacks, the predicted
                depth is NaN where the true depth is known, or a frame was added before.
        """
        self.add(self.count(truth, prediction, true_depth, predicted_depth, sequence, frame))

    def count(self, truth, prediction, true_depth, predicted_depth, sequence, frame) -> dict[str, np.ndarray]:
        """What `update` adds. Changes nothing.

        Returns:
            Dict of `"sequence"`, `"frame"` and `"abs_rel"`, one entry per frame, the last with NaN where no
            depth is known, and of what else `pack_frames` gives, for each threshold: `"0.5/pairs"`, ...
        """
        truth, prediction = read_pair(truth, prediction)
        depths = read_depths(true_depth, predicted_depth)
        check_size_of_maps(truth.shape, depths[0])
        sequences, frames = read_frames(sequence, frame, len(truth))
        counts = {"sequence": sequences, "frame": frames, "abs_rel": np.full(len(truth), np.nan)}
        overlaps = []
        for i, (*maps, true, predicted) in enumerate(zip(truth, prediction, *depths, strict=True)):
            known = is_known(true)
            error = _relative_error(*select_known(true, predicted))
            if error.size:
                counts["abs_rel"][i] = error.mean()
            overlaps.append(self._overlaps_of_thresholds(*maps, known, error))
        for threshold in self.thresholds:
            packed = pack_frames(sequences, frames, [overlap[threshold] for overlap in overlaps])
            counts |= {f"{threshold}/{name}": packed[name] for name in packed if name not in _FRAME_KEYS}
        return counts

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found.

        Raises:
            ValueError: when a frame was added before; then nothing is added.
        """
        keys = {name: counts[name] for name in _FRAME_KEYS}
        for threshold, metric in self._metrics.items():
            start = f"{threshold}/"
            metric.add(
                keys | {name.removeprefix(start): counts[name] for name in counts if name.startswith(start)}
            )
        frames = zip(*(array.tolist() for array in keys.values()), strict=True)
        self._abs_rel.update(zip(frames, counts["abs_rel"].tolist(), strict=True))

    def merge(self, other: DepthAwareVPQ) -> None:
        """Adds the frames of another metric of the same settings. The two may share sequences, but no frame.

        Raises:
            ValueError: when the label spaces, windows or thresholds differ, or when both hold a frame.
        """
        check_mergeable(self, other, "label_space", "windows", "thresholds")
        for threshold, metric in self._metrics.items():
            metric.merge(other._metrics[threshold])
        self._abs_rel |= other._abs_rel

    def match_windows(self, threshold: float, length: int) -> dict[str, np.ndarray]:
        """The matches at a threshold in all windows of `length` frames, see `VideoPanopticQuality`."""
        return self._metrics[threshold].match_windows(length)

    def result(self) -> dict:
        """The metric over all frames so far.

        Returns:
            Dict with floats `"dvpq"`, the mean over all thresholds and lengths of windows;
            `"dvpq_at_<threshold>"`, e.g. `"dvpq_at_0.25"`, the mean over the lengths; `"dvpq_<k>"`, e.g.
            `"dvpq_2"`, the mean over the thresholds; `"dvpq_<k>_at_<threshold>"`; all of them also with
            `"_things"` and `"_stuff"` appended; `"abs_rel"`, the mean over the frames of the mean relative
            error at their pixels of known depth; and `"per_class"`, a dict from each name that begins with
            `"dvpq"` to float64 `[num_classes]`. NaN stands for what never occurs.
        """
        results = {threshold: metric.result() for threshold, metric in self._metrics.items()}
        means = {}
        for group in GROUPS:
            means |= {name + group: float(value) for name, value in self._means(results, group).items()}
        errors = [error for _, error in sorted(self._abs_rel.items()) if not np.isnan(error)]
        means["abs_rel"] = float(np.mean(errors)) if errors else float("nan")
        per_class = {threshold: result["per_class"] for threshold, result in results.items()}
        return means | {"per_class": self._means(per_class, "")}

    def _means(self, values, group):
        """DVPQ by its names in the result, from the values of VPQ at each threshold."""
        means = {"dvpq": np.mean([values[t]["vpq" + group] for t in self.thresholds], axis=0)}
        for threshold in self.thresholds:
            means[f"dvpq_at_{threshold}"] = values[threshold]["vpq" + group]
        for k in self.windows:
            means[f"dvpq_{k}"] = np.mean([values[t][f"vpq_{k}{group}"] for t in self.thresholds], axis=0)
            for threshold in self.thresholds:
                means[f"dvpq_{k}_at_{threshold}"] = values[threshold][f"vpq_{k}{group}"]
        return means

    def _overlaps_of_thresholds(self, truth, prediction, known, error):
        """The overlap of one frame at each threshold.

        Errors of depth are scattered and would break the runs of equal labels that make `count_pairs` fast.
        So the maps are counted as they are, and then, for each threshold, the pixels that it moves to void.
        """
        overlap = count_overlap(truth, prediction, self.label_space)
        truth, prediction = truth[known], prediction[known]
        overlap_of = {}
        for threshold in sorted(self.thresholds):
            overlap_of[threshold] = overlap
            if threshold > 0:
                wrong = error > threshold
                truth, prediction, error = truth[wrong], prediction[wrong], error[wrong]
                wrong_overlap = count_pairs(truth, prediction)
                overlap_of[threshold] = _move_to_void(overlap, wrong_overlap, self.label_space.void)
        return overlap_of


def _move_to_void(overlap: Overlap, part: Overlap, void: int) -> Overlap:
    """The overlap after the prediction has become void in some part of the map."""
    true_id, predicted_id, pixels = part
    return add_up([overlap, (true_id, predicted_id, -pixels), (true_id, np.full_like(true_id, void), pixels)])


def _relative_error(truth, prediction):
    """|d - d*| / d*, float64 `[pixels]`."""
    check_predicted(prediction)
    return np.abs(prediction - truth) / truth


def _check_thresholds(thresholds):
    values = tuple(map(float, thresholds))
    if not values or not all(value >= 0 for value in values) or len(set(values)) != len(values):
        raise ValueError(
            "`thresholds` must be different relative errors, each at least 0. "
            f"Received: thresholds={thresholds!r}"
        )
    return values
