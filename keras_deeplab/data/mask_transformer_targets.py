"""Training targets of the mask transformers MaX-DeepLab and kMaX-DeepLab."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_deeplab.data.targets import find_segments, map_of, small_instance_weights
from keras_deeplab.labels import LabelSpace


def mask_targets(
    sample: Mapping | np.ndarray,
    label_space: LabelSpace,
    rng: np.random.Generator | None = None,
    *,
    max_things: int = 128,
    small_instance_area: int = 4096,
    small_instance_weight: float | None = None,
) -> dict[str, np.ndarray]:
    """Targets of MaX-DeepLab and kMaX-DeepLab: semantic classes, and the instances of things, numbered.

    Instances are numbered from 0 in the order in which they first come up, row by row. Stuff, crowd (a thing
    class with instance 0) and void have none; stuff masks follow from the semantic target.

    Args:
        sample: dict with `"panoptic"`, or that map: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.
        rng: not used.
        max_things: int. Number of instances that there is room for.
        small_instance_area: int. Instances with fewer pixels than this are small.
        small_instance_weight: float. Semantic weight of the pixels of small instances; `None` is 1.

    Returns:
        Dict of numpy arrays:
            `"semantic"`: int32 `[H, W]`, the class, `ignore_label` for void.
            `"semantic_weight"`: float32 `[H, W]`, 1 or `small_instance_weight`.
            `"thing_id_mask"`: int32 `[H, W]`, the number of the pixel's instance, -1 for none.
            `"thing_id_class"`: int32 `[max_things]`, the class of each instance, -1 for unused numbers.

    Raises:
        ValueError: when the map is not an integer `[H, W]`, holds a class that the label space does not
            have, or more instances than `max_things`.

    Source: Wang et al. 2021, "MaX-DeepLab", section 3.

    Example:
    ```python
    targets = mask_targets(np.array([[13002, 0, 11007]]), CITYSCAPES, max_things=3)
    targets["thing_id_mask"]  # [[0, -1, 1]]
    targets["thing_id_class"]  # [13, 11, -1]
    ```
    """
    segments = find_segments(map_of(sample), label_space)
    runs = segments.runs
    order = runs.order_of_appearance()
    things = order[(segments.is_thing & ~segments.is_crowd)[order]]
    if len(things) > max_things:
        raise ValueError(
            f"The panoptic map holds {len(things)} instances of things, but `max_things` is {max_things}. "
            "Raise it in the targets and in the loss."
        )
    numbers = np.full(len(runs.ids), -1)
    numbers[things] = np.arange(len(things))
    classes = np.full(max_things, -1, np.int32)
    classes[: len(things)] = segments.classes[things]
    return {
        "semantic": runs.paint(segments.classes, np.int32),
        "semantic_weight": small_instance_weights(segments, small_instance_area, small_instance_weight),
        "thing_id_mask": runs.paint(numbers, np.int32),
        "thing_id_class": classes,
    }
