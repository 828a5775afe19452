"""Pairs of neighbouring frames of a video, for the models that take two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Neighbor = Literal["next", "previous"]
_NEIGHBOR_KEYS = ("image", "panoptic")


class FramePairs:
    """Frames of videos, each with a neighbour, as a random-access sequence.

    Samples are those of the reader, with the neighbour's `"image"` and `"panoptic"` as `"next_image"` and
    `"next_panoptic"`, or as `"previous_image"` and `"previous_panoptic"`. The neighbour is the frame of the
    same sequence whose number is one more or one less. A frame without a next one is left out
    (ViP-DeepLab); a frame without a previous one is its own (Motion-DeepLab).

    Args:
        reader: reader of a video, with `sequences` and `frames`, e.g. `KittiStep`.
        neighbor: `"next"` or `"previous"`.
        step: int. How much the numbers of neighbours differ.

    Raises:
        ValueError: when the reader is none of a video, an argument is malformed, or no frame has a next one.

    Source: Qiao et al. 2021, "ViP-DeepLab", section 3.2; Weber et al. 2021, "STEP", section 5.

    Example:
    ```python
    pairs = FramePairs(KittiStep("/data/kitti-step"), neighbor="previous")
    pairs[0]["previous_image"].shape  # (375, 1242, 3)
    ```
    """

    def __init__(self, reader: Sequence[dict], neighbor: Neighbor = "next", step: int = 1):
        if neighbor not in get_args(Neighbor):
            raise ValueError(f"`neighbor` must be 'next' or 'previous'. Received: neighbor={neighbor!r}")
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise ValueError(f"`step` must be an integer >= 1. Received: step={step!r}")
        if not (hasattr(reader, "sequences") and hasattr(reader, "frames")):
            raise ValueError(f"{reader!r} is no video: it has no `sequences` and `frames`.")
        self.reader = reader
        self.neighbor = neighbor
        self.label_space = reader.label_space
        distance = step if neighbor == "next" else -step
        places = {place: i for i, place in enumerate(zip(reader.sequences, reader.frames, strict=True))}
        neighbors = {i: places.get((sequence, frame + distance)) for (sequence, frame), i in places.items()}
        if neighbor == "previous":
            neighbors = {i: i if other is None else other for i, other in neighbors.items()}
        self._pairs = [(i, other) for i, other in neighbors.items() if other is not None]
        if not self._pairs:
            raise ValueError(f"No frame of {reader!r} has one whose number is {step} more.")
        self.names, self.sequences, self.frames = (
            [values[i] for i, _ in self._pairs] for values in (reader.names, reader.sequences, reader.frames)
        )

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> dict:
        current, other = self._pairs[index]
        sample = dict(self.reader[current])
        neighbor = sample if other == current else self.reader[other]
        return sample | {f"{self.neighbor}_{key}": neighbor[key] for key in _NEIGHBOR_KEYS if key in neighbor}

    def __repr__(self) -> str:
        return f"FramePairs({self.reader!r}, neighbor={self.neighbor!r}, {len(self)} pairs)"
