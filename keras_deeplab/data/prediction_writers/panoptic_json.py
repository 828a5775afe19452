"""Predictions in the COCO panoptic format: PNGs, and one JSON that describes them."""

from __future__ import annotations

import json
import pathlib

import numpy as np

from keras_deeplab.data.writers import coco_categories, encode_coco, encode_image, image_id, write_file
from keras_deeplab.labels import LabelSpace


class PanopticJson:
    """Writes `panoptic/*.png` and, on `close`, `panoptic.json`.

    Until then the descriptions are lines of `panoptic.jsonl`. What an interrupted run left there is put into
    the JSON when the folder is opened again. Each line is written before its PNG, and an old PNG is removed
    before either: a PNG always has its description, and a description without PNG is forgotten.

    Args:
        folder: path of the folder of predictions.
        label_space: `LabelSpace` of the maps.

    Raises:
        ValueError: when the folder holds predictions of other categories, or a damaged JSON.

    Example:
    ```python
    files = PanopticJson(pathlib.Path("predictions"), CITYSCAPES)
    files.write(panoptic, "aachen_000000_000019", "aachen_000000_000019.png", "aachen_000000_000019.png")
    files.close()
    ```
    """

    def __init__(self, folder: pathlib.Path, label_space: LabelSpace):
        self.label_space = label_space
        self._pictures = folder / "panoptic"
        self._json = folder / "panoptic.json"
        self._lines = folder / "panoptic.jsonl"
        self._categories = coco_categories(label_space)
        self._described = {}
        for path, read in ((self._json, _read_json), (self._lines, _read_lines)):
            if path.exists():
                self._take(path, *read(path))
        if self._lines.exists():
            self.close()

    def write(self, panoptic: np.ndarray, name: str, file_name: str, image_name: str) -> None:
        """Writes the PNG of one image and notes its description.

        Args:
            panoptic: integer array `[H, W]`, `class * label_divisor + instance`.
            name: str. Name of the image, which gives its official id.
            file_name: str. Name of the PNG.
            image_name: str. Name of the image's file.
        """
        number = image_id(name)
        picture, segments_info = encode_coco(panoptic, self.label_space)
        height, width = panoptic.shape
        description = {
            "image": {"id": number, "file_name": image_name, "height": height, "width": width},
            "annotation": {"image_id": number, "file_name": file_name, "segments_info": segments_info},
        }
        before = self._described.pop(number, description)
        for outdated in {file_name, before["annotation"]["file_name"]}:
            (self._pictures / outdated).unlink(missing_ok=True)
        self._append(description)
        write_file(self._pictures / file_name, encode_image(picture))
        self._described[number] = description

    def close(self) -> None:
        """Writes the JSON that describes all PNGs of the folder."""
        if self._described:
            content = {
                "images": [description["image"] for description in self._described.values()],
                "annotations": [description["annotation"] for description in self._described.values()],
                "categories": self._categories,
            }
            write_file(self._json, json.dumps(content).encode())
        self._lines.unlink(missing_ok=True)

    def _append(self, description):
        self._lines.parent.mkdir(parents=True, exist_ok=True)
        with open(self._lines, "ab") as file:
            if file.tell() == 0:
                file.write(json.dumps({"categories": self._categories}).encode() + b"\n")
            file.write(json.dumps(description).encode() + b"\n")

    def _take(self, path, categories, descriptions):
        """Remembers those descriptions whose PNG is there; the last one of an image counts."""
        if descriptions and categories != self._categories:
            raise ValueError(f"{path} holds predictions of other categories. Choose another folder.")
        for description in descriptions:
            annotation = description["annotation"]
            self._described.pop(annotation["image_id"], None)
            if (self._pictures / annotation["file_name"]).exists():
                self._described[annotation["image_id"]] = description


def _read_json(path):
    try:
        content = json.loads(path.read_bytes())
        images = {image["id"]: image for image in content["images"]}
        descriptions = [
            {"image": images[annotation["image_id"]], "annotation": annotation}
            for annotation in content["annotations"]
        ]
        return content["categories"], descriptions
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} describes no predictions that were written here: {error!r}. Choose another folder."
        ) from error


def _read_lines(path):
    # The last line is empty, or cut off by what interrupted the run: then its PNG was not written.
    complete = path.read_bytes().split(b"\n")[:-1]
    if not complete:
        return None, []
    header, *descriptions = map(json.loads, complete)
    return header["categories"], descriptions
