"""The folder of Cityscapes-DVPS."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.layout_writers.cityscapes_classes import cityscapes_classes, classes_and_instances
from keras_deeplab.data.layout_writers.sequences import check_video, sequence_number
from keras_deeplab.data.writers import encode_image
from keras_deeplab.labels import CITYSCAPES

_CITY = "scene"
_VOID = 32
_STEPS_PER_METER = 256


class CityscapesDvpsWriter:
    """Frames, maps of `class * 1000 + instance`, and depth, side by side."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.label_space = label_space
        self.class_ids = cityscapes_classes(label_space)
        self.sequences = {}

    def write(self, index, sample):
        check_video(sample, "cityscapes_dvps")
        frame = f"{sequence_number(self.sequences, sample):06d}_{sample['frame']:06d}"
        stem = f"video_sequence/{self.split}/{frame}_{_CITY}_{frame}"
        if "image" in sample:
            self.files.write(f"{stem}_leftImg8bit.png", encode_image(sample["image"]))
        if "panoptic" not in sample:
            return
        if "depth" not in sample:
            raise ValueError("the layout cityscapes_dvps needs depth. StreetScenes has it with depth=True.")
        classes, instances = classes_and_instances(sample["panoptic"], self.label_space, self.class_ids)
        classes = np.where(classes == CITYSCAPES.ignore_label, _VOID, classes)
        ids = (classes * 1000 + instances).astype(np.uint16)
        self.files.write(f"{stem}_gtFine_instanceTrainIds.png", encode_image(ids))
        self.files.write(f"{stem}_depth.png", encode_image(_encode_depth(sample["depth"])))

    def close(self):
        pass


def _encode_depth(depth):
    """uint16, 256ths of a metre, 0 for unknown."""
    steps = np.rint(np.asarray(depth, np.float64) * _STEPS_PER_METER)
    if not (steps >= 0).all():  # also false for NaN
        raise ValueError("`depth` must be at least 0, and 0 where it is unknown.")
    return np.where(steps > np.iinfo(np.uint16).max, 0, steps).astype(np.uint16)
