"""How true and predicted segments overlap in the frames of videos, and in windows of frames."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import check_classes, count_pairs

# What `count_pairs` finds in two maps: true ids, predicted ids and common pixels, int64 `[pairs]` each.
Overlap = tuple[np.ndarray, np.ndarray, np.ndarray]
_COLUMNS = ("true_id", "predicted_id", "pixels")


class FrameOverlaps:
    """The overlaps of every frame, by sequence and frame number.

    Frames may come in any order, so that several processes may share a sequence.

    Example:
    ```python
    overlaps = FrameOverlaps()
    for frame in (5, 4):
        pairs = count_pairs(np.array([[7, 7]]), np.array([[7, 0]]))
        overlaps.add(pack_frames(["0001"], [frame], [pairs]))
    list(overlaps.windows(2))  # [([7, 7], [0, 7], [2, 2])]
    ```
    """

    def __init__(self):
        self._overlap_of = {}

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds frames as `pack_frames` packs them.

        Raises:
            ValueError: when a frame comes for the second time; then nothing is added.
        """
        keys = list(zip(counts["sequence"].tolist(), counts["frame"].tolist(), strict=True))
        for (sequence, frame), times in collections.Counter(keys).items():
            if times > 1 or (sequence, frame) in self._overlap_of:
                raise ValueError(
                    f"Frame {frame} of the sequence {sequence!r} was added before; every frame counts once. "
                    "Give every video its own `sequence` and every frame its own number, or call `reset`."
                )
        ends = np.cumsum(counts["pairs"])
        columns = (np.split(counts[name], ends)[:-1] for name in _COLUMNS)
        self._overlap_of.update(zip(keys, zip(*columns, strict=True), strict=True))

    def counts(self) -> dict[str, np.ndarray]:
        """All frames, packed as `add` takes them."""
        keys = sorted(self._overlap_of)
        sequences, frames = zip(*keys, strict=True) if keys else ((), ())
        return pack_frames(sequences, frames, [self._overlap_of[key] for key in keys])

    def windows(self, length: int) -> Iterator[Overlap]:
        """The overlap in every run of `length` frames that follow each other in their sequence.

        Gaps between the numbers of frames do not matter. Sequences of fewer frames have no window.
        """
        for _, keys in itertools.groupby(sorted(self._overlap_of), key=lambda key: key[0]):
            overlaps = [self._overlap_of[key] for key in keys]
            for start in range(len(overlaps) - length + 1):
                yield add_up(overlaps[start : start + length])


def read_frames(sequence, frame, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which frames a batch of maps holds.

    Args:
        sequence: str or int, or a list of `batch_size` of them. Numbers become text: 1 is `"1"`.
        frame: int, or a list of `batch_size` ints.
        batch_size: int.

    Returns:
        The sequences, unicode `[batch_size]`, and the numbers of the frames, int64 `[batch_size]`.

    Raises:
        ValueError: for other types or another number of them.
    """
    sequence, frame = np.asarray(sequence), np.asarray(frame)
    if sequence.dtype.kind not in "iuUS":
        raise ValueError(
            f"`sequence` must be the name or the number of a video. Received: dtype={sequence.dtype}"
        )
    if frame.dtype.kind not in "iu":
        raise ValueError(f"`frame` must be an integer. Received: dtype={frame.dtype}")
    for name, value in (("sequence", sequence), ("frame", frame)):
        if value.shape not in ((), (batch_size,)):
            raise ValueError(
                f"`{name}` must be one value per map, of which there are {batch_size}. "
                f"Received: shape={value.shape}"
            )
    return (
        np.broadcast_to(sequence.astype(str), batch_size),
        np.broadcast_to(frame.astype(np.int64), batch_size),
    )


def count_overlap(truth: np.ndarray, prediction: np.ndarray, label_space: LabelSpace) -> Overlap:
    """How two panoptic maps overlap, see `count_pairs`.

    Raises:
        ValueError: when a map holds a class that the label space lacks.
    """
    overlap = true_id, predicted_id, _ = count_pairs(truth, prediction)
    check_classes("truth", true_id // label_space.label_divisor, label_space)
    check_classes("prediction", predicted_id // label_space.label_divisor, label_space)
    return overlap


def pack_frames(
    sequences: Sequence[str], frames: Sequence[int], overlaps: Sequence[Overlap]
) -> dict[str, np.ndarray]:
    """The overlaps of some frames as a flat dict of arrays, for `FrameOverlaps.add`.

    Returns:
        Dict of `"sequence"` unicode `[frames]`, `"frame"` int64 `[frames]`, `"pairs"` int64 `[frames]`, the
        number of pairs in each frame, and `"true_id"`, `"predicted_id"` and `"pixels"`, int64, of all pairs.
    """
    columns = zip(*overlaps, strict=True) if len(overlaps) else ([np.zeros(0, np.int64)],) * 3
    return {
        "sequence": np.array(sequences, str),
        "frame": np.array(frames, np.int64),
        "pairs": np.array([len(true_id) for true_id, _, _ in overlaps], np.int64),
    } | {name: np.concatenate(column) for name, column in zip(_COLUMNS, columns, strict=True)}


def add_up(overlaps: Sequence[Overlap]) -> Overlap:
    """The overlap of maps put side by side, from those of each; pairs that come to 0 pixels are left out."""
    true_id, predicted_id, pixels = (np.concatenate(column) for column in zip(*overlaps, strict=True))
    pairs, index = np.unique((true_id << 32) | predicted_id, return_inverse=True)
    pixels = np.bincount(index, weights=pixels, minlength=pairs.size).astype(np.int64)
    occurs = pixels != 0
    return pairs[occurs] >> 32, pairs[occurs] & 0xFFFFFFFF, pixels[occurs]
