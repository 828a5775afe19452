"""Segments: counting pixels, voting on classes and numbering instances."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops


def count_segments(segments, num_segments: int):
    """Number of pixels of each segment.

    Args:
        segments: int tensor `(b, ...)` of segment numbers in `[0, num_segments)`.
        num_segments: int.

    Returns:
        int32 tensor `(b, num_segments)`.

    Example:
    ```python
    count_segments([[2, 0, 2]], 4)  # [[1 0 2 0]]
    ```
    """
    flat, batch = _number_over_batch(segments, num_segments)
    if keras.backend.backend() == "torch":
        # keras.ops.segment_sum adds in float32 on torch: not exact beyond 2**24 pixels.
        counts = ops.cast(flat.bincount(minlength=batch * num_segments), "int32")
    else:
        counts = ops.segment_sum(ops.ones_like(flat, dtype="int32"), flat, num_segments=batch * num_segments)
    return ops.reshape(counts, (batch, num_segments))


def look_up(table, segments):
    """The table's entry for the segment of each pixel.

    Args:
        table: tensor `(b, num_segments)`.
        segments: int tensor `(b, ...)` of segment numbers.

    Returns:
        Tensor of the shape of `segments` and the dtype of `table`.
    """
    flat, _ = _number_over_batch(segments, table.shape[1])
    return ops.reshape(ops.take(ops.reshape(table, (-1,)), flat), ops.shape(segments))


def _number_over_batch(segments, num_segments):
    """Flat segment numbers that differ between images, and the batch size."""
    segments = ops.cast(segments, "int32")
    batch = ops.shape(segments)[0]
    first = ops.cast(ops.arange(batch), "int32")[:, None] * num_segments
    return ops.reshape(ops.reshape(segments, (batch, -1)) + first, (-1,)), batch


def majority_vote(counts):
    """The most frequent class of each instance, the smaller class on ties.

    Args:
        counts: int tensor `(b, k, c)`. Pixels per instance and class.

    Returns:
        int32 tensor `(b, k)`; 0 for instances without pixels.
    """
    return ops.cast(ops.argmax(counts, axis=-1), "int32")


def number_within_class(classes, exists):
    """Numbers instances from 1 within their class, in ascending order of their index.

    Args:
        classes: int tensor `(b, k)`.
        exists: bool tensor `(b, k)`. Only these instances are numbered.

    Returns:
        int32 tensor `(b, k)`; 0 for instances that do not exist.
    """
    index = ops.arange(classes.shape[1])
    same = ops.logical_and(classes[:, :, None] == classes[:, None], exists[:, None])
    earlier = ops.logical_and(same, index <= index[:, None])
    return ops.where(exists, ops.sum(ops.cast(earlier, "int32"), axis=-1), 0)


def panoptic_ids(counts, things: Sequence[int], label_divisor: int, ignore_label: int, stuff_area_limit: int):
    """The panoptic id of each pair of instance and class.

    Instances take the class that most of their thing pixels have, and are numbered within it. Instances
    that find no number below `label_divisor`, thing pixels without instance and stuff classes of fewer
    pixels than `stuff_area_limit` become void.

    Args:
        counts: int32 tensor `(b, k + 1, c)`. Pixels per instance and class; instance 0 is none.
        things: sequence of int. The classes that have instances.
        label_divisor: int. Number of instance ids per class, including 0.
        ignore_label: int. Class of void pixels.
        stuff_area_limit: int. In pixels.

    Returns:
        int32 tensor `(b, k + 1, c)`.
    """
    num_classes = counts.shape[2]
    void = ignore_label * label_divisor
    is_thing = class_mask(things, num_classes)
    votes = ops.where(is_thing, counts[:, 1:], 0)
    classes = majority_vote(votes)
    numbers = number_within_class(classes, ops.any(votes > 0, axis=-1))
    numbered = ops.logical_and(numbers > 0, numbers < label_divisor)
    instances = ops.where(numbered, classes * label_divisor + numbers, void)
    instances = ops.pad(instances, [[0, 0], [1, 0]], constant_values=void)
    areas = ops.sum(counts, axis=1)
    stuff = ops.where(areas >= stuff_area_limit, ops.arange(num_classes) * label_divisor, void)
    return ops.where(is_thing, instances[:, :, None], ops.cast(stuff, "int32")[:, None])


def class_mask(classes: Sequence[int], num_classes: int):
    """bool tensor `(num_classes,)`, true for the given classes."""
    return ops.convert_to_tensor([c in classes for c in range(num_classes)], dtype="bool")


def pair_with_class(instance, semantic, num_classes: int):
    """One number for each pair of instance and class: `instance * num_classes + semantic`."""
    return ops.cast(instance, "int32") * num_classes + ops.cast(semantic, "int32")


def merge_semantic_and_instance(
    semantic,
    instance,
    num_classes: int,
    num_instances: int,
    things: Sequence[int],
    label_divisor: int = 1000,
    ignore_label: int = 255,
    stuff_area_limit: int = 0,
):
    """Merges a semantic map and class-agnostic instances into a panoptic map.

    Each instance takes the most frequent class among its thing pixels, ties go to the smaller class
    (Yang et al. 2019, DeeperLab, section 3.3; Cheng et al. 2020, section 3.2, "Efficient merging"). New
    instance ids count from 1 within each class in ascending order of the old ones. Thing pixels without
    instance and stuff classes smaller than the limit become void, and so do instances beyond the
    `label_divisor - 1` ids of their class. Instance ids of stuff pixels have no effect.

    Args:
        semantic: int tensor `(b, h, w)` of classes.
        instance: int tensor `(b, h, w)` in `[0, num_instances]`, 0 for none.
        num_classes: int.
        num_instances: int. The largest possible instance id.
        things: sequence of int. The classes that have instances.
        label_divisor: int. Number of instance ids per class, including 0.
        ignore_label: int. Class of void pixels.
        stuff_area_limit: int. Stuff classes of fewer pixels become void.

    Returns:
        int32 tensor `(b, h, w)` of `class * label_divisor + instance`; void is
        `ignore_label * label_divisor`.

    Example:
    ```python
    merge_semantic_and_instance([[[0, 1, 1]]], [[[0, 7, 7]]], num_classes=2, num_instances=9, things=[1])
    # [[[   0 1001 1001]]]
    ```
    """
    pairs = pair_with_class(instance, semantic, num_classes)
    counts = count_segments(pairs, (num_instances + 1) * num_classes)
    counts = ops.reshape(counts, (-1, num_instances + 1, num_classes))
    ids = panoptic_ids(counts, things, label_divisor, ignore_label, stuff_area_limit)
    return look_up(ops.reshape(ids, (-1, (num_instances + 1) * num_classes)), pairs)
