"""The folders of COCO's panoptic task."""

from __future__ import annotations

import json

from keras_deeplab.data.writers import coco_categories, encode_coco, encode_image, image_id


class CocoWriter:
    """Images and panoptic maps, described on `close`."""

    def __init__(self, files, split, label_space):
        self.files = files
        self.split = split
        self.label_space = label_space
        self.images, self.annotations = [], []

    def write(self, index, sample):
        if "panoptic" not in sample:
            raise ValueError("the layout coco needs labels.")
        number = image_id(sample["name"])
        number = number if isinstance(number, int) else index + 1
        stem = f"{number:012d}"
        if "image" in sample:
            content = encode_image(sample["image"], "JPEG", quality=95)
            self.files.write(f"{self.split}2017/{stem}.jpg", content)
        picture, segments_info = encode_coco(sample["panoptic"], self.label_space)
        self.files.write(f"annotations/panoptic_{self.split}2017/{stem}.png", encode_image(picture))
        height, width = sample["panoptic"].shape
        image = {"id": number, "file_name": f"{stem}.jpg", "height": height, "width": width}
        self.images.append(image)
        annotation = {"image_id": number, "file_name": f"{stem}.png", "segments_info": segments_info}
        self.annotations.append(annotation)

    def close(self):
        content = {"images": self.images, "annotations": self.annotations}
        content["categories"] = coco_categories(self.label_space)
        path = f"annotations/panoptic_{self.split}2017.json"
        self.files.write(path, json.dumps(content).encode())
