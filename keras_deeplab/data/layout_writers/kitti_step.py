"""The folders of KITTI-STEP."""

from __future__ import annotations

from keras_deeplab.data.class_translation import ClassTranslation, check_instances
from keras_deeplab.data.layout_writers.pictures import encode_step
from keras_deeplab.data.layout_writers.sequences import check_video, sequence_number
from keras_deeplab.data.writers import encode_image
from keras_deeplab.labels import LABEL_SPACES

# Of its classes, persons and cars are things.
_LABEL_SPACE = LABEL_SPACES["kitti_step"]


class KittiStepWriter:
    """Frames, and maps of the class in red and of the instance in green and blue."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.translation = ClassTranslation(label_space, _LABEL_SPACE)
        self.sequences = {}

    def write(self, index, sample):
        check_video(sample, "kitti_step")
        place = f"{self.split}/{sequence_number(self.sequences, sample):04d}/{sample['frame']:06d}.png"
        if "image" in sample:
            self.files.write(f"images/{place}", encode_image(sample["image"]))
        if "panoptic" in sample:
            classes, instances = self.translation.classes_and_instances(sample["panoptic"])
            check_instances(instances, _LABEL_SPACE.label_divisor - 1)
            self.files.write(f"panoptic_maps/{place}", encode_image(encode_step(classes, instances)))

    def close(self):
        pass
