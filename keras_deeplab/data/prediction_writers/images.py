"""Predictions for the benchmarks of images: Cityscapes, COCO, ADE20K."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.prediction_writers.instances import write_instances
from keras_deeplab.data.prediction_writers.panoptic_json import PanopticJson
from keras_deeplab.data.prediction_writers.places import named
from keras_deeplab.data.writers import encode_categories, encode_image, image_stem, write_file

# The panoptic PNG is written last: where it is, the other files of the image are.


class CityscapesPredictions:
    """Label ids, instances and the panoptic form, with Cityscapes' own ids."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation
        self.panoptic = PanopticJson(folder, translation.target)

    def write(self, segmentation, name, sequence, frame):
        stem, space = image_stem(named(name)), self.translation.target
        labels = encode_categories(self.translation.classes(segmentation.semantic), space)
        write_file(self.folder / "semantic" / f"{stem}_labelIds.png", encode_image(labels))
        if segmentation.panoptic is not None:
            panoptic = self.translation.panoptic(segmentation.panoptic)
            write_instances(self.folder / "instance", stem, panoptic, space, segmentation.score)
            self.panoptic.write(panoptic, name, f"{stem}_panoptic.png", f"{stem}.png")

    def close(self):
        self.panoptic.close()


class CocoPredictions:
    """The panoptic form and the categories of pixels, with the label space's own ids."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation
        self.panoptic = PanopticJson(folder, translation.target)

    def write(self, segmentation, name, sequence, frame):
        stem = image_stem(named(name))
        categories = encode_categories(
            self.translation.classes(segmentation.semantic), self.translation.target
        )
        write_file(self.folder / "semantic" / f"{stem}.png", encode_image(categories))
        if segmentation.panoptic is not None:
            panoptic = self.translation.panoptic(segmentation.panoptic)
            self.panoptic.write(panoptic, name, f"{stem}.png", f"{stem}.jpg")

    def close(self):
        self.panoptic.close()


class Ade20kPredictions:
    """The panoptic form with ids from 0, and the scene parsing benchmark's pictures with ids from 1."""

    def __init__(self, folder, translation):
        self.folder = folder
        self.translation = translation
        self.panoptic = PanopticJson(folder, translation.target)

    def write(self, segmentation, name, sequence, frame):
        stem = image_stem(named(name))
        labels = self._labels(self.translation.classes(segmentation.semantic))
        write_file(self.folder / "semantic" / f"{stem}.png", encode_image(labels))
        if segmentation.panoptic is not None:
            panoptic = self.translation.panoptic(segmentation.panoptic)
            self.panoptic.write(panoptic, name, f"{stem}.png", f"{stem}.jpg")

    def _labels(self, classes):
        """uint8 `[H, W]`: one more than the panoptic form's ids, and 0 for none of the classes."""
        space = self.translation.target
        table = np.array([space.category_id(class_id) for class_id in range(space.num_classes)]) + 1
        table[space.ignore_label] = 0
        return table.astype(np.uint8)[classes]

    def close(self):
        self.panoptic.close()
