"""Instances for labels that have classes alone: connected regions."""

from __future__ import annotations

import cv2
import numpy as np

from keras_deeplab.labels import LabelSpace

MIN_PIXELS = 50


def split_things(panoptic: np.ndarray, label_space: LabelSpace, smallest: int = MIN_PIXELS) -> np.ndarray:
    """Makes an instance of every connected region of a thing class.

    Objects that touch in the picture become one, and one that something hides in the middle becomes several.
    Specks are left to the crowd, which neither trains centres nor counts in metrics.

    Args:
        panoptic: int32 `[H, W]`, a panoptic map. Instances that it has already are forgotten.
        label_space: `LabelSpace` of the map.
        smallest: int. Regions of fewer pixels become crowd, instance 0.

    Returns:
        int32 `[H, W]`: in every class, instances count from 1. Pixels that touch at a corner are connected.

    Raises:
        ValueError: when a class has more regions than instances fit into `label_divisor`.

    Example:
    ```python
    space = LabelSpace("street", classes=("road", "car"), things=(1,), label_divisor=10)
    split_things(np.array([[10, 0, 10]], "int32"), space, smallest=1)  # [[11, 0, 12]]
    ```
    """
    divisor = label_space.label_divisor
    classes = panoptic // divisor
    result = classes * divisor
    for thing in np.intersect1d(np.unique(classes), label_space.things):
        _, regions, statistics, _ = cv2.connectedComponentsWithStats((classes == thing).astype(np.uint8))
        counts = statistics[:, cv2.CC_STAT_AREA].copy()
        counts[0] = 0  # what is not of the class
        kept = counts >= max(smallest, 1)
        if kept.sum() >= divisor:
            raise ValueError(
                f"{kept.sum()} regions of {label_space.classes[thing]!r} do not fit into `label_divisor` "
                f"{divisor} of the label space {label_space.name!r}"
            )
        result += np.where(kept, np.cumsum(kept), 0)[regions]
    return result.astype(np.int32)
