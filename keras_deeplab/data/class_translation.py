"""Label maps of one label space in the classes of another, which official layouts prescribe."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs
from keras_deeplab.segments import check_classes


class ClassTranslation:
    """Finds the classes of a label space in another one by their names. Void stays void.

    Args:
        label_space: `LabelSpace` of the maps.
        target: `LabelSpace` with at least these classes, in any order.

    Raises:
        ValueError: when `target` lacks classes.

    Example:
    ```python
    dvps = ClassTranslation(CITYSCAPES, LABEL_SPACES["cityscapes_dvps"])
    dvps.classes(np.array([[13, 255]]))  # [[13, 32]]
    ```
    """

    def __init__(self, label_space: LabelSpace, target: LabelSpace):
        self.label_space = label_space
        self.target = target
        void = label_space.ignore_label
        named = {c: n for c, n in enumerate(label_space.classes) if c != void}
        unknown = [name for name in named.values() if name not in target.classes]
        if unknown:
            raise ValueError(
                f"The layout has the classes of {target.name}. The label space {label_space.name!r} has "
                f"others: {', '.join(unknown[:5])}. Write it in the layout 'coco', which takes any classes."
            )
        self._table = np.full(max(void + 1, label_space.num_classes), target.ignore_label, np.int32)
        self._table[list(named)] = [target.classes.index(name) for name in named.values()]

    def classes(self, semantic: np.ndarray) -> np.ndarray:
        """The classes of `target`, int32 `[H, W]`, from a map of classes.

        Raises:
            ValueError: for a class that the label space lacks.
        """
        runs = find_runs(semantic)
        check_classes("semantic", runs.ids, self.label_space)
        return runs.paint(self._table[runs.ids], np.int32)

    def classes_and_instances(self, panoptic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The classes of `target` and the instances, int32 `[H, W]` each, from a panoptic map.

        Instances are 0 for crowd, for void and for what is no thing of `target`.

        Raises:
            ValueError: for a class that the label space lacks.
        """
        runs = find_runs(panoptic)
        classes, instances = self._split(runs.ids)
        instances = np.where(np.isin(classes, self.target.things), instances, 0)
        return runs.paint(classes, np.int32), runs.paint(instances, np.int32)

    def panoptic(self, panoptic: np.ndarray) -> np.ndarray:
        """A panoptic map with the classes and the `label_divisor` of `target`, int32 `[H, W]`.

        Every segment stays one of its own; all of void is `target.void`.

        Raises:
            ValueError: for a class that the label space lacks, or an instance beyond `label_divisor`.
        """
        runs = find_runs(panoptic)
        classes, instances = self._split(runs.ids)
        instances = np.where(classes == self.target.ignore_label, 0, instances)
        check_instances(instances, self.target.label_divisor - 1)
        return runs.paint(classes * self.target.label_divisor + instances, np.int32)

    def _split(self, ids):
        classes, instances = np.divmod(ids, self.label_space.label_divisor)
        check_classes("panoptic", classes, self.label_space)
        return self._table[classes].astype(np.int64), instances


def check_instances(instances: np.ndarray, largest: int) -> None:
    """Raises a ValueError when an instance is larger than a layout has room for."""
    if instances.max(initial=0) > largest:
        raise ValueError(
            f"the layout holds instances up to {largest}. Received: {instances.max()}. Number the objects of "
            "each class from 1."
        )
