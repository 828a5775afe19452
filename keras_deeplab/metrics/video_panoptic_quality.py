"""Video panoptic quality: panoptic quality of windows of frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.frame_overlaps import FrameOverlaps, count_overlap, pack_frames, read_frames
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.metrics.segment_matching import (
    add_matches,
    check_convention,
    empty_counts,
    summarize_quality,
)

GROUPS = ("", "_things", "_stuff")


class VideoPanopticQuality:
    """Video panoptic quality (Kim et al. 2020, "Video Panoptic Segmentation", section 3).

    Every window of k frames that follow each other in a sequence counts as one image in `PanopticQuality`,
    as if its frames lay side by side: an object must have one id in all of them. VPQ is the mean over the
    lengths k. Frames follow each other in the order of their numbers; gaps do not matter. A sequence of fewer
    than k frames has no window of k.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        windows: sequence of int, the lengths k in frames. SemKITTI-DVPS uses `(1, 5, 10, 20)`.
        convention: how crowd regions and void count, see `PanopticQuality`.

    Raises:
        ValueError: for an unknown convention, or for lengths that are repeated or less than 1.

    Example:
    ```python
    metric = VideoPanopticQuality("cityscapes", windows=(1, 2))
    for frame, instance in enumerate([13_001, 13_002]):  # the car's predicted id changes
        metric.update(np.array([[13_001]]), np.array([[instance]]), "0001", frame)
    metric.result()["vpq_1"], metric.result()["vpq_2"]  # 1.0, 0.0
    ```
    """

    def __init__(
        self,
        label_space: LabelSpace | dict | str,
        windows: Sequence[int] = (1, 2, 3, 4),
        convention: Literal["deeplab2", "official"] = "deeplab2",
    ):
        self.label_space = LabelSpace.create(label_space)
        self.windows = _check_windows(windows)
        self.convention = check_convention(convention)
        self.reset()

    def reset(self) -> None:
        """Forgets all frames."""
        self._overlaps = FrameOverlaps()

    def update(self, truth, prediction, sequence, frame) -> None:
        """Adds one frame or a batch of frames, in any order.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.
            sequence: str or int, the video that the frame belongs to, or a list of `B` of them.
            frame: int, the number of the frame in its video, or a list of `B` of them.

        Raises:
            ValueError: when the shapes differ, a map holds a class that the label space lacks, or a frame
                was added before.
        """
        self.add(self.count(truth, prediction, sequence, frame))

    def count(self, truth, prediction, sequence, frame) -> dict[str, np.ndarray]:
        """What `update` adds, as `pack_frames` packs it: how the segments of each frame overlap. Changes
        nothing."""
        truth, prediction = read_pair(truth, prediction)
        sequences, frames = read_frames(sequence, frame, len(truth))
        overlaps = [count_overlap(*maps, self.label_space) for maps in zip(truth, prediction, strict=True)]
        return pack_frames(sequences, frames, overlaps)

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found.

        Raises:
            ValueError: when a frame was added before; then nothing is added.
        """
        self._overlaps.add(counts)

    def merge(self, other: VideoPanopticQuality) -> None:
        """Adds the frames of another metric of the same settings. The two may share sequences, but no frame.

        Raises:
            ValueError: when the label spaces, windows or conventions differ, or when both hold a frame.
        """
        check_mergeable(self, other, "label_space", "windows", "convention")
        self.add(other._overlaps.counts())

    def match_windows(self, length: int) -> dict[str, np.ndarray]:
        """The matches in all windows of `length` frames, per class, as `segment_matching.empty_counts`
        describes them."""
        counts = empty_counts(self.label_space)
        for overlap in self._overlaps.windows(length):
            add_matches(counts, *overlap, self.label_space, self.convention)
        return counts

    def result(self) -> dict:
        """The metric over all frames so far.

        Returns:
            Dict with floats `"vpq_<k>"`, e.g. `"vpq_2"`, of windows of k frames, the means over all classes
            that occur in them, and `"vpq"`, the mean over the lengths k, each also with `"_things"` and
            `"_stuff"` appended; `"per_class"`, a dict from `"vpq"` and `"vpq_<k>"` to float64
            `[num_classes]`; and `"per_window"`, one entry per length: `"length"` (int64), and `"vpq"`, `"sq"`
            and `"rq"` (float64), also with `"_things"` and `"_stuff"`. NaN stands for what never occurs: for
            a length that no sequence reaches, and then for `"vpq"`; leave such a length out of `windows`.
        """
        qualities = {
            f"vpq_{length}": summarize_quality(self.label_space, **self.match_windows(length))
            for length in self.windows
        }
        means = {}
        for group in GROUPS:
            values = {name + group: quality["pq" + group] for name, quality in qualities.items()}
            means |= {"vpq" + group: float(np.mean(list(values.values())))} | values
        values = {name: quality["per_class"]["pq"] for name, quality in qualities.items()}
        per_class = {"vpq": np.mean(list(values.values()), axis=0)} | values
        per_window = {"length": np.array(self.windows)} | {
            name + group: np.array([quality[key + group] for quality in qualities.values()])
            for group in GROUPS
            for name, key in (("vpq", "pq"), ("sq", "sq"), ("rq", "rq"))
        }
        return means | {"per_class": per_class, "per_window": per_window}


def _check_windows(windows):
    lengths = tuple(windows) if isinstance(windows, (Sequence, np.ndarray)) else ()
    whole = all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) and k >= 1 for k in lengths)
    if not lengths or not whole or len(set(lengths)) != len(lengths):
        raise ValueError(
            f"`windows` must be different numbers of frames, each at least 1. Received: windows={windows!r}"
        )
    return tuple(map(int, lengths))
