"""The panoptic format of COCO: an RGB PNG of segment ids, and JSON that says what each id is."""

from __future__ import annotations

import cv2
import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs


def decode_segment_ids(colors: np.ndarray) -> np.ndarray:
    """Segment ids from their colours, `red + 256 * green + 256**2 * blue`.

    Args:
        colors: uint8 `[H, W, 3]`, RGB.

    Returns:
        int32 `[H, W]`.

    Raises:
        ValueError: for another shape or dtype.

    Example:
    ```python
    decode_segment_ids(np.array([[[1, 2, 0]]], np.uint8))  # [[513]]
    ```
    """
    if colors.ndim != 3 or colors.shape[-1] != 3 or colors.dtype != np.uint8:
        raise ValueError(f"A panoptic PNG must be 8-bit RGB. Received: shape {colors.shape}, {colors.dtype}")
    # With a fourth channel, each pixel is one little-endian integer.
    pixels = cv2.cvtColor(np.ascontiguousarray(colors), cv2.COLOR_RGB2RGBA).view("<u4")[..., 0]
    return np.bitwise_and(pixels, 0xFFFFFF, out=pixels).view(np.int32)


def panoptic_from_segments(
    segment_ids: np.ndarray, segments: list[dict], label_space: LabelSpace
) -> np.ndarray:
    """A panoptic map from segment ids and their descriptions.

    Instances are numbered from 1 within their class, in ascending order of segment ids. Stuff and crowd
    segments get instance 0; segments of categories that the label space does not have become void, and
    so does id 0 without a description.

    Args:
        segment_ids: int `[H, W]`, as from `decode_segment_ids`.
        segments: list of dict with `"id"`, `"category_id"` and optionally `"iscrowd"`, as in the
            `"segments_info"` of COCO's JSON.
        label_space: `LabelSpace` of the result; its `category_ids` are those of the segments.

    Returns:
        int32 `[H, W]`, `class * label_divisor + instance`.

    Raises:
        ValueError: when an id of the map has no description, an id is described twice, or a class has
            more instances than `label_divisor` has room for.

    Example:
    ```python
    segments = [{"id": 7, "category_id": 7}, {"id": 26000, "category_id": 26}]
    panoptic_from_segments(np.array([[7, 26000]]), segments, CITYSCAPES)  # [[0, 13001]]
    ```
    """
    segments = sorted(segments, key=lambda segment: segment["id"])
    ids = np.array([0] + [segment["id"] for segment in segments], np.int64)
    if len(segments) and segments[0]["id"] == 0:
        ids = ids[1:]
    values = _panoptic_values(segments, label_space, has_void_entry=len(ids) > len(segments))
    if (np.diff(ids) == 0).any():
        raise ValueError(f"Segments are described twice: {', '.join(map(str, ids[1:][np.diff(ids) == 0]))}")
    runs = find_runs(segment_ids)
    unknown = np.setdiff1d(runs.ids, ids)
    if unknown.size:
        listing = ", ".join(map(str, unknown[:10]))
        raise ValueError(f"The map holds segment ids without a description: {listing}")
    return runs.paint(values[np.searchsorted(ids, runs.ids)], np.int32)


def _panoptic_values(segments, label_space, has_void_entry):
    """int32 panoptic value of each segment, after that of id 0 where it is void."""
    categories = np.array([segment["category_id"] for segment in segments], np.int64)
    classes = label_space.classes_from_categories(categories)
    crowd = np.array([bool(segment.get("iscrowd", 0)) for segment in segments], bool)
    countable = np.isin(classes, label_space.things) & ~crowd
    instances = np.zeros(len(segments), np.int64)
    for class_id in np.unique(classes[countable]):
        members = countable & (classes == class_id)
        instances[members] = np.arange(1, members.sum() + 1)
    if instances.max(initial=0) >= label_space.label_divisor:
        raise ValueError(
            f"A class has {instances.max()} instances, but `label_divisor` {label_space.label_divisor} of "
            f"label space {label_space.name!r} has room for {label_space.label_divisor - 1}."
        )
    values = (classes * label_space.label_divisor + instances).astype(np.int32)
    return np.concatenate([[label_space.void], values]).astype(np.int32) if has_void_entry else values
