"""Writes label maps in the official formats of the COCO and Cityscapes evaluation scripts."""

from __future__ import annotations

import io
import json
import os
import pathlib
import uuid

import numpy as np
from PIL import Image

from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import describe_segments, number_segments


def write_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file or nothing: under a temporary name first, then renamed.

    Args:
        path: path of the file. Missing folders are made.
        content: bytes.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def encode_image(picture: np.ndarray | Image.Image, image_format: str = "PNG", **options) -> bytes:
    """The content of an image file.

    Args:
        picture: PIL image, or uint8 or uint16 array `[H, W]`, or uint8 array `[H, W, 3]` (RGB).
        image_format: str, a format's name in Pillow.
        **options: what Pillow takes for the format, e.g. `quality=95` for JPEG.

    Returns:
        bytes.
    """
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def encode_coco(panoptic: np.ndarray, label_space: LabelSpace) -> tuple[np.ndarray, list[dict]]:
    """A panoptic map in the COCO panoptic format.

    Segments are numbered from 1 in the order of their panoptic values; void is 0.

    Args:
        panoptic: integer array `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace`.

    Returns:
        The ids as uint8 `[H, W, 3]`, `id = R + 256 * G + 65536 * B`, and `segments_info`: a list of dicts
        with `"id"`, `"category_id"`, `"iscrowd"`, `"area"` (pixels) and `"bbox"` (`[x, y, width, height]`).

    Raises:
        ValueError: when there are more segments than 24 bits count.

    Example:
    ```python
    picture, segments_info = encode_coco(np.array([[0, 13_001, 255_000]]), CITYSCAPES)
    picture[..., 0]  # [[1, 2, 0]]
    ```
    """
    segments = describe_segments(panoptic, label_space)
    if len(segments) >= 2**24:
        raise ValueError(
            f"The COCO panoptic format holds up to {2**24 - 1} segments. Received: {len(segments)}"
        )
    number = number_segments(panoptic, [segment["id"] for segment in segments])
    picture = np.stack([number & 255, number >> 8 & 255, number >> 16], axis=-1).astype(np.uint8)
    segments_info = [
        {
            "id": index,
            "category_id": segment["category_id"],
            "iscrowd": int(segment["isthing"] and segment["id"] % label_space.label_divisor == 0),
            "area": segment["area"],
            "bbox": segment["bbox"],
        }
        for index, segment in enumerate(segments, start=1)
    ]
    return picture, segments_info


def coco_categories(label_space: LabelSpace) -> list[dict]:
    """The `categories` of a COCO panoptic file, one dict per class."""
    return [
        {
            "id": label_space.category_id(class_id),
            "name": name,
            "supercategory": name,
            "color": list(label_space.colors[class_id]),
            "isthing": int(class_id in label_space.things),
        }
        for class_id, name in enumerate(label_space.classes)
        if class_id != label_space.ignore_label
    ]


def encode_categories(semantic: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """A semantic map in the dataset's own ids, as `*_labelIds.png` files hold it.

    Args:
        semantic: integer array `[H, W]` of training classes.
        label_space: `LabelSpace`.

    Returns:
        uint8 array `[H, W]`, or uint16 when the ids need it. Void is the id of the void class, where there is
        one; else 0 where no class has that id (Cityscapes' "unlabeled"), else `ignore_label`.

    Raises:
        ValueError: when both 0 and `ignore_label` are ids of classes.

    Example:
    ```python
    encode_categories(np.array([[0, 13, 255]]), CITYSCAPES)  # [[7, 26, 0]]
    ```
    """
    ids = {class_id: label_space.category_id(class_id) for class_id in range(label_space.num_classes)}
    void = ids.pop(label_space.ignore_label, None)
    if void is None:
        void = 0 if 0 not in ids.values() else label_space.ignore_label
    if void in ids.values():
        raise ValueError(
            f"The label space {label_space.name!r} has no id left for void: {void} is a category id."
        )
    table = np.full(max(label_space.num_classes, label_space.ignore_label + 1), void, np.int64)
    table[list(ids)] = list(ids.values())
    return table[semantic].astype(np.uint8 if table.max() < 256 else np.uint16)


def image_stem(name: str) -> str:
    """The name of an image as the files about it begin.

    Without the ending of an image file and Cityscapes' `_leftImg8bit`, and flat: the official layouts have no
    folders per sequence.

    Example:
    ```python
    image_stem("aachen_000000_000019_leftImg8bit.png")  # "aachen_000000_000019"
    image_stem("0001/000012.png")  # "0001_000012"
    ```
    """
    stem, ending = os.path.splitext(name)
    stem = stem if ending.lower() in (".png", ".jpg", ".jpeg") else name
    return stem.removesuffix("_leftImg8bit").replace("/", "_")


def image_id(name: str) -> str | int:
    """The official id of an image: a number where the name is one (COCO), else its stem (Cityscapes).

    Example:
    ```python
    image_id("000000142238.jpg")  # 142238
    ```
    """
    stem = image_stem(name)
    return int(stem) if stem.isdecimal() else stem


class PredictionWriter:
    """Writes predictions as the COCO panoptic and the Cityscapes evaluation scripts read them.

    `FOLDER/panoptic.json` with `FOLDER/panoptic/*.png` is a COCO panoptic result, for panopticapi's
    `evaluation.py` and cityscapesscripts' `csEvalPanopticSemanticLabeling`. `FOLDER/semantic/*_labelIds.png`
    holds category ids, for `csEvalPixelLevelSemanticLabeling` with `CITYSCAPES_RESULTS=FOLDER/semantic`.
    Images that the folder already has are replaced, others stay.

    Args:
        folder: path of the folder, made when missing.
        label_space: `LabelSpace`.

    Raises:
        ValueError: when the folder holds predictions of other categories.

    Example:
    ```python
    with PredictionWriter("predictions", model.label_space) as writer:
        for result in model.segment("images/"):
            writer.write(result)
    ```
    """

    def __init__(self, folder: str | os.PathLike, label_space: LabelSpace):
        self.folder = pathlib.Path(folder)
        self.label_space = label_space
        self._categories = coco_categories(label_space)
        self._images = {}
        self._annotations = {}
        if self._json.exists():
            content = json.loads(self._json.read_bytes())
            if content["categories"] != self._categories:
                raise ValueError(
                    f"{self._json} holds predictions of other categories. Choose another folder."
                )
            self._images = {image["id"]: image for image in content["images"]}
            self._annotations = {annotation["image_id"]: annotation for annotation in content["annotations"]}

    @property
    def _json(self):
        return self.folder / "panoptic.json"

    def write(self, segmentation, name: str | None = None) -> None:
        """Writes the pictures of one image; the JSON file follows on `close`.

        Args:
            segmentation: `Segmentation`. Without a panoptic map only the semantic picture is written.
            name: str. Name of the image; `segmentation.name` when `None`.

        Raises:
            ValueError: when there is no name.
        """
        name = name or segmentation.name
        if not name:
            raise ValueError("An image needs a name to be written. Pass `name`.")
        stem, number = image_stem(name), image_id(name)
        labels = encode_categories(segmentation.semantic, self.label_space)
        write_file(self.folder / "semantic" / f"{stem}_labelIds.png", encode_image(labels))
        if segmentation.panoptic is None:
            return
        picture, segments_info = encode_coco(segmentation.panoptic, self.label_space)
        file_name = f"{stem}_panoptic.png"
        write_file(self.folder / "panoptic" / file_name, encode_image(picture))
        height, width = segmentation.panoptic.shape
        self._images[number] = {"id": number, "file_name": f"{stem}.png", "height": height, "width": width}
        self._annotations[number] = {
            "image_id": number,
            "file_name": file_name,
            "segments_info": segments_info,
        }

    def close(self) -> None:
        """Writes the JSON file that describes all panoptic pictures."""
        if not self._annotations:
            return
        content = {
            "images": list(self._images.values()),
            "annotations": list(self._annotations.values()),
            "categories": self._categories,
        }
        write_file(self._json, json.dumps(content).encode())

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()
