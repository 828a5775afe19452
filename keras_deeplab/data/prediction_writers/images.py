"""Predictions for the benchmarks of images: Cityscapes, COCO, ADE20K."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from keras_deeplab.data.prediction_writers.instances import write_instances
from keras_deeplab.data.prediction_writers.panoptic_json import PanopticJson
from keras_deeplab.data.prediction_writers.places import named
from keras_deeplab.data.writers import encode_categories, encode_image, image_stem, write_file


class Endings(NamedTuple):
    """How the names of files end: of semantic and panoptic pictures, and of the image in the JSON."""

    semantic: str
    panoptic: str
    image: str


class ImagePredictions:
    """The panoptic form, the classes of pixels and, where a benchmark takes them, instances.

    Args:
        folder: path.
        translation: `ClassTranslation` to the benchmark's classes.
        endings: `Endings`.
        encode: callable from classes `[H, W]` and label space to the values of the semantic picture.
        instances: bool. Whether to write instances as Cityscapes has them.
    """

    def __init__(self, folder, translation, endings, encode=encode_categories, instances=False):
        self.folder = folder
        self.translation = translation
        self.endings = endings
        self.encode = encode
        self.instances = instances
        self.panoptic = PanopticJson(folder, translation.target)

    def write(self, segmentation, name, sequence, frame):
        stem, space = image_stem(named(name)), self.translation.target
        labels = self.encode(self.translation.classes(segmentation.semantic), space)
        write_file(self.folder / "semantic" / f"{stem}{self.endings.semantic}", encode_image(labels))
        if segmentation.panoptic is None:
            return
        panoptic = self.translation.panoptic(segmentation.panoptic)
        if self.instances:
            write_instances(self.folder / "instance", stem, panoptic, space, segmentation.score)
        # The panoptic PNG is written last: where it is, the other files of the image are.
        self.panoptic.write(panoptic, name, f"{stem}{self.endings.panoptic}", f"{stem}{self.endings.image}")

    def close(self):
        self.panoptic.close()


def _encode_scene_parsing(classes, label_space):
    """uint8 `[H, W]`: one more than the ids of ADE20K's panoptic form, and 0 for none of the classes."""
    ids = [label_space.category_id(class_id) for class_id in range(label_space.num_classes)]
    table = np.array(ids) + 1
    table[label_space.ignore_label] = 0
    return table.astype(np.uint8)[classes]


_PLAIN = Endings(".png", ".png", ".jpg")

CityscapesPredictions = functools.partial(
    ImagePredictions, endings=Endings("_labelIds.png", "_panoptic.png", ".png"), instances=True
)
CocoPredictions = functools.partial(ImagePredictions, endings=_PLAIN)
Ade20kPredictions = functools.partial(ImagePredictions, endings=_PLAIN, encode=_encode_scene_parsing)
