"""The folder of Cityscapes-DVPS."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.class_translation import ClassTranslation, check_instances
from keras_deeplab.data.layout_writers.pictures import encode_depth
from keras_deeplab.data.layout_writers.sequences import check_video, sequence_number
from keras_deeplab.data.writers import encode_image
from keras_deeplab.labels import LABEL_SPACES

_CITY = "scene"
_LABEL_SPACE = LABEL_SPACES["cityscapes_dvps"]


class CityscapesDvpsWriter:
    """Frames, maps of `class * 1000 + instance`, and depth, side by side."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.translation = ClassTranslation(label_space, _LABEL_SPACE)
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
        classes, instances = self.translation.classes_and_instances(sample["panoptic"])
        check_instances(instances, _LABEL_SPACE.label_divisor - 1)
        ids = (classes * _LABEL_SPACE.label_divisor + instances).astype(np.uint16)
        self.files.write(f"{stem}_gtFine_instanceTrainIds.png", encode_image(ids))
        self.files.write(f"{stem}_depth.png", encode_image(encode_depth(sample["depth"])))

    def close(self):
        pass
