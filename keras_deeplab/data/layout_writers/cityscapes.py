"""The folders of Cityscapes."""

from __future__ import annotations

import json
import re

import numpy as np

from keras_deeplab.data.class_translation import ClassTranslation, check_instances
from keras_deeplab.data.layout_writers.sequences import sequence_number
from keras_deeplab.data.writers import coco_categories, encode_categories, encode_image
from keras_deeplab.labels import CITYSCAPES
from keras_deeplab.segments import describe_segments

_NAME = re.compile(r"[^_/\\.]+_\d+_\d+")
# The city of frames that have no name of this kind.
_CITY = "scene"


class CityscapesWriter:
    """Frames with instance ids, label ids and, described on `close`, the panoptic form."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.translation = ClassTranslation(label_space, CITYSCAPES)
        self.sequences = {}
        self.images, self.annotations = [], []

    def write(self, index, sample):
        name = self._name(index, sample)
        place = f"{self.split}/{name.split('_')[0]}/{name}"
        if "image" in sample:
            self.files.write(f"leftImg8bit/{place}_leftImg8bit.png", encode_image(sample["image"]))
        if "panoptic" not in sample:
            return
        classes, instances = self.translation.classes_and_instances(sample["panoptic"])
        check_instances(instances, CITYSCAPES.label_divisor - 1)
        ids = _instance_ids(classes, instances)
        labels = encode_categories(classes, CITYSCAPES)
        self.files.write(f"gtFine/{place}_gtFine_instanceIds.png", encode_image(ids))
        self.files.write(f"gtFine/{place}_gtFine_labelIds.png", encode_image(labels))
        self._describe(name, classes, instances, ids)

    def _name(self, index, sample):
        if _NAME.fullmatch(sample["name"]):
            return sample["name"]
        if "sequence" in sample:
            return f"{_CITY}_{sequence_number(self.sequences, sample):06d}_{sample['frame']:06d}"
        return f"{_CITY}_000000_{index:06d}"

    def _describe(self, name, classes, instances, ids):
        # As Cityscapes' own script makes the panoptic form: segments have the instance ids as ids.
        segments = describe_segments(classes * CITYSCAPES.label_divisor + instances, CITYSCAPES)
        ids = np.where(classes == CITYSCAPES.ignore_label, 0, ids)
        picture = np.stack([ids & 255, ids >> 8, np.zeros_like(ids)], axis=-1).astype(np.uint8)
        self.files.write(
            f"gtFine/cityscapes_panoptic_{self.split}/{name}_gtFine_panoptic.png", encode_image(picture)
        )
        height, width = ids.shape
        file_name = f"{name}_gtFine_leftImg8bit.png"
        self.images.append({"id": name, "file_name": file_name, "height": height, "width": width})
        segments_info = [_describe_segment(segment) for segment in segments]
        self.annotations.append(
            {"image_id": name, "file_name": f"{name}_gtFine_panoptic.png", "segments_info": segments_info}
        )

    def close(self):
        if self.annotations:
            content = {"images": self.images, "annotations": self.annotations}
            content["categories"] = coco_categories(CITYSCAPES)
            path = f"gtFine/cityscapes_panoptic_{self.split}.json"
            self.files.write(path, json.dumps(content).encode())


def _describe_segment(segment):
    category, instance = segment["category_id"], segment["id"] % CITYSCAPES.label_divisor
    return {
        "id": category * 1000 + instance - 1 if instance else category,
        "category_id": category,
        "iscrowd": int(segment["isthing"] and not instance),
        "area": segment["area"],
        "bbox": segment["bbox"],
    }


def _instance_ids(classes, instances):
    """Cityscapes' own: `category * 1000 + instance` from 0, or the category alone; uint16."""
    categories = encode_categories(classes, CITYSCAPES).astype(np.int32)
    return np.where(instances > 0, categories * 1000 + instances - 1, categories).astype(np.uint16)
