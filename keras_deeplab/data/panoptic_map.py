"""Panoptic maps from maps of classes and instances, checked against a label space."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs
from keras_deeplab.segments import check_classes


def make_panoptic(
    classes: np.ndarray,
    instances: np.ndarray | None,
    label_space: LabelSpace,
    void_classes: Collection[int] = (),
    drop_stuff_instances: bool = False,
) -> np.ndarray:
    """A panoptic map from the class and the instance of each pixel.

    Args:
        classes: integer `[H, W]`, values in 0..2**31-1.
        instances: integer `[H, W]`, 0 for stuff and crowd, values in 0..2**31-1. `None` for no instances.
        label_space: `LabelSpace` of the result, with the same class indices.
        void_classes: classes that are void, besides the label space's `ignore_label`.
        drop_stuff_instances: bool. Gives stuff the instance 0 instead of refusing instances of it, which tell
            of a wrong label space.

    Returns:
        int32 `[H, W]`, `class * label_divisor + instance`.

    Raises:
        ValueError: when a class is not in the label space, stuff has instances, or an instance does
            not fit into `label_divisor`; the message names them.

    Example:
    ```python
    make_panoptic(np.array([[0, 13, 99]]), np.array([[0, 2, 0]]), CITYSCAPES, void_classes=[99])
    # [[0, 13002, 255000]]
    ```
    """
    codes = classes.astype(np.int64) << 32
    if instances is not None:
        codes |= instances
    runs = find_runs(codes)
    ids, instances = runs.ids >> 32, runs.ids & 0xFFFFFFFF
    is_void = np.isin(ids, (label_space.ignore_label, *void_classes))
    is_thing = np.isin(ids, label_space.things)
    if drop_stuff_instances:
        instances[~is_thing] = 0
    check_classes("panoptic", ids, label_space, void_classes)
    _check_instances(ids[~is_void], instances[~is_void], is_thing[~is_void], label_space)
    values = np.where(is_void, label_space.void, ids * label_space.label_divisor + instances)
    return runs.paint(values, np.int32)


def _check_instances(classes, instances, is_thing, label_space):
    wrong = np.unique(classes[(instances > 0) & ~is_thing])
    if wrong.size:
        names = ", ".join(f"{label_space.classes[c]!r} ({c})" for c in wrong[:5])
        raise ValueError(
            f"the label map has instances of {names}, which are no things of the label space "
            f"{label_space.name!r}. Check that the label space is the right one."
        )
    if instances.max(initial=0) >= label_space.label_divisor:
        raise ValueError(
            f"the label map has the instance {instances.max()}, but `label_divisor` "
            f"{label_space.label_divisor} of the label space {label_space.name!r} has room for "
            f"{label_space.label_divisor - 1}."
        )
