"""Predictions for the benchmarks of videos: STEP, and DVPS with depth."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.class_translation import check_instances
from keras_deeplab.data.layout_writers.pictures import encode_depth, encode_step
from keras_deeplab.data.prediction_writers.places import dvps_stem, frame_of
from keras_deeplab.data.writers import encode_image, write_file


class StepPredictions:
    """A folder per sequence of maps with the class in red and the instance in green and blue."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation

    def write(self, segmentation, name, sequence, frame):
        sequence, frame = frame_of(name, sequence, frame)
        classes, instances = _maps(segmentation, self.translation, largest=0xFFFF)
        write_file(self.folder / sequence / f"{frame:06d}.png", encode_image(encode_step(classes, instances)))

    def close(self):
        pass


class CityscapesDvpsPredictions:
    """Maps with the class in red and the instance in green, and depth under the same names."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation

    def write(self, segmentation, name, sequence, frame):
        file_name = f"{dvps_stem(name, sequence, frame)}_leftImg8bit.png"
        depth = _depth(segmentation)
        classes, instances = _maps(segmentation, self.translation, largest=0xFF)
        classes = _void_after_classes(classes, self.translation.target)
        picture = np.stack([classes, instances, np.zeros_like(classes)], axis=-1).astype(np.uint8)
        write_file(self.folder / "depth" / file_name, depth)
        write_file(self.folder / "panoptic" / file_name, encode_image(picture))

    def close(self):
        pass


class SemKittiDvpsPredictions:
    """One picture of classes and one of instances, and depth."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation

    def write(self, segmentation, name, sequence, frame):
        stem = dvps_stem(name, sequence, frame)
        depth = _depth(segmentation)
        classes, instances = _maps(segmentation, self.translation, largest=0xFFFF)
        classes = _void_after_classes(classes, self.translation.target)
        write_file(self.folder / "depth" / f"{stem}_depth.png", depth)
        write_file(self.folder / "panoptic" / f"{stem}_ins.png", encode_image(instances.astype(np.uint16)))
        write_file(self.folder / "panoptic" / f"{stem}_cat.png", encode_image(classes.astype(np.uint8)))

    def close(self):
        pass


def _maps(segmentation, translation, largest):
    """Classes and instances of a segmentation, int32 `[H, W]` each."""
    if segmentation.panoptic is None:
        raise ValueError("the layout needs a panoptic map. A semantic model has none.")
    classes, instances = translation.classes_and_instances(segmentation.panoptic)
    check_instances(instances, largest)
    return classes, instances


def _void_after_classes(classes, label_space):
    """Void as the evaluation scripts of DVPS have it in predictions, unlike the datasets: one more class."""
    return np.where(classes == label_space.ignore_label, label_space.num_classes, classes)


def _depth(segmentation):
    if segmentation.depth is None:
        raise ValueError("the layout needs depth. Pass a `Segmentation` with `depth` in metres.")
    return encode_image(encode_depth(segmentation.depth, clip=True))
