"""The layouts of predictions: who writes them, and which classes they have."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from typing import NamedTuple

from keras_deeplab.data.class_translation import ClassTranslation
from keras_deeplab.labels import LABEL_SPACES, LabelSpace


class PredictionLayout(NamedTuple):
    """How predictions for a benchmark are written.

    Attributes:
        writer: module of `prediction_writers` and what makes a writer there.
        label_space: name of the label space whose classes the files have; `None` for any.
    """

    writer: str
    label_space: str | None


def natural_layout(label_space: LabelSpace) -> str:
    """The layout for images whose classes, with their ids, a label space has; `"coco"` takes any.

    Example:
    ```python
    natural_layout(CITYSCAPES)  # "cityscapes"
    ```
    """
    for layout in ("cityscapes", "ade20k"):
        theirs = LABEL_SPACES[PREDICTION_LAYOUTS[layout].label_space]
        if (label_space.classes, label_space.category_ids) == (theirs.classes, theirs.category_ids):
            return layout
    return "coco"


def open_files(folder: pathlib.Path, label_space: LabelSpace, layout: str):
    """What writes the files of a layout into a folder.

    Args:
        folder: path.
        label_space: `LabelSpace` of the predictions.
        layout: str, one of `PREDICTION_LAYOUTS`.

    Returns:
        An object with `write(segmentation, name, sequence, frame)` and `close()`.

    Raises:
        ValueError: for an unknown layout, or classes that it does not have.
    """
    if layout not in PREDICTION_LAYOUTS:
        raise ValueError(
            f"`layout` must be 'auto' or one of {', '.join(PREDICTION_LAYOUTS)}. Received: layout={layout!r}"
        )
    module, name = PREDICTION_LAYOUTS[layout].writer.split(":")
    writer = getattr(importlib.import_module(f"keras_deeplab.data.prediction_writers.{module}"), name)
    target = _with_room_for(label_space, PREDICTION_LAYOUTS[layout].label_space)
    return writer(folder, ClassTranslation(label_space, target))


def _with_room_for(label_space, target):
    """The label space of that name, where all instances of another fit; that one itself for `None`."""
    if target is None:
        return label_space
    target = LABEL_SPACES[target]
    return dataclasses.replace(target, label_divisor=max(target.label_divisor, label_space.label_divisor))


PREDICTION_LAYOUTS = {
    "cityscapes": PredictionLayout("images:CityscapesPredictions", "cityscapes"),
    "coco": PredictionLayout("images:CocoPredictions", None),
    "ade20k": PredictionLayout("images:Ade20kPredictions", "ade20k_panoptic"),
    "kitti_step": PredictionLayout("videos:StepPredictions", "kitti_step"),
    "motchallenge_step": PredictionLayout("videos:StepPredictions", "motchallenge_step"),
    "cityscapes_dvps": PredictionLayout("videos:CityscapesDvpsPredictions", "cityscapes_dvps"),
    "semkitti_dvps": PredictionLayout("videos:SemKittiDvpsPredictions", "semkitti_dvps"),
}
