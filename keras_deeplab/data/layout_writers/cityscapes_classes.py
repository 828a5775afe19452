"""Labels in the classes of Cityscapes, which several layouts share."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import CITYSCAPES
from keras_deeplab.segments import check_classes


def cityscapes_classes(label_space):
    """int32: Cityscapes' training class of each class, by its name; void for void."""
    void = label_space.ignore_label
    named = {c: n for c, n in enumerate(label_space.classes) if c != void}
    unknown = [name for name in named.values() if name not in CITYSCAPES.classes]
    if unknown:
        raise ValueError(
            f"The layout has the classes of Cityscapes. The label space {label_space.name!r} has others: "
            f"{', '.join(unknown[:5])}. Write it in the layout 'coco', which takes any classes."
        )
    table = np.full(max(void + 1, label_space.num_classes), CITYSCAPES.ignore_label, np.int32)
    table[list(named)] = [CITYSCAPES.classes.index(name) for name in named.values()]
    return table


def classes_and_instances(panoptic, label_space, class_ids):
    """int32 `[H, W]` each: Cityscapes' training classes and instances, 0 for stuff, crowd and void."""
    classes, instances = np.divmod(panoptic, label_space.label_divisor)
    check_classes("panoptic", np.unique(classes), label_space)
    classes = class_ids[classes]
    instances = np.where(np.isin(classes, CITYSCAPES.things), instances, 0)
    if instances.max(initial=0) >= CITYSCAPES.label_divisor:
        raise ValueError(f"the layout holds instances up to 999. Received: {instances.max()}")
    return classes, instances.astype(np.int32)
