"""The folders of KITTI-STEP."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.layout_writers.cityscapes_classes import cityscapes_classes, classes_and_instances
from keras_deeplab.data.layout_writers.sequences import check_video, sequence_number
from keras_deeplab.data.writers import encode_image
from keras_deeplab.labels import CITYSCAPES

_COUNTED = [CITYSCAPES.classes.index(name) for name in ("person", "car")]


class KittiStepWriter:
    """Frames, and maps of the class in red and of the instance in green and blue."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.label_space = label_space
        self.class_ids = cityscapes_classes(label_space)
        self.sequences = {}

    def write(self, index, sample):
        check_video(sample, "kitti_step")
        place = f"{self.split}/{sequence_number(self.sequences, sample):04d}/{sample['frame']:06d}.png"
        if "image" in sample:
            self.files.write(f"images/{place}", encode_image(sample["image"]))
        if "panoptic" in sample:
            classes, instances = classes_and_instances(sample["panoptic"], self.label_space, self.class_ids)
            instances = np.where(np.isin(classes, _COUNTED), instances, 0)
            picture = np.stack([classes, instances >> 8, instances & 255], axis=-1).astype(np.uint8)
            self.files.write(f"panoptic_maps/{place}", encode_image(picture))

    def close(self):
        pass
