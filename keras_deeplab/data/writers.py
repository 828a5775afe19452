"""Codes label maps as official files have them, and writes predictions for evaluation scripts and servers."""

from __future__ import annotations

import io
import os
import pathlib
import uuid

import numpy as np
from PIL import Image

from keras_deeplab.data.prediction_writers.layouts import natural_layout, open_files
from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import describe_segments, number_segments


def write_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file or nothing: under a temporary name first, then renamed.

    Args:
        path: path of the file. Missing folders are made.
        content: bytes.

    Raises:
        OSError: when it cannot be written; the message names it, and what was there is as it was.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, f"Cannot write {str(path)!r}: {error.strerror or error}") from error
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
    """Writes predictions as a benchmark's evaluation scripts and test server read them.

    | layout | files in the folder |
    | --- | --- |
    | `"cityscapes"` | `panoptic.json`, `panoptic/`, `semantic/*_labelIds.png`, `instance/` |
    | `"coco"` | `panoptic.json`, `panoptic/`, `semantic/` with any label space's category ids |
    | `"ade20k"` | `panoptic.json`, `panoptic/`, `semantic/` with 1 to 150, and 0 for none of them |
    | `"kitti_step"`, `"motchallenge_step"` | `<sequence>/<frame>.png` |
    | `"cityscapes_dvps"` | `panoptic/*_leftImg8bit.png`, `depth/*_leftImg8bit.png` |
    | `"semkitti_dvps"` | `panoptic/*_cat.png` and `*_ins.png`, `depth/*_depth.png` |

    Classes are found by name, so that the label space may order them in another way. Images that the folder
    already has are replaced, others stay. Every file is written whole or not at all; the JSON follows on
    `close`, and when a run was interrupted before that, the next one completes it.

    Args:
        folder: path of the folder, made when missing.
        label_space: `LabelSpace` of the predictions, or what `LabelSpace.create` takes.
        layout: str, see above. `"auto"` takes `"cityscapes"` or `"ade20k"` for their label spaces, else
            `"coco"`.

    Raises:
        ValueError: for an unknown layout, for classes that the layout does not have, and when the folder
            holds predictions of other categories.

    Example:
    ```python
    with PredictionWriter("predictions", model.label_space) as writer:
        for result in model.segment("images/"):
            writer.write(result)
    ```
    """

    def __init__(self, folder: str | os.PathLike, label_space: LabelSpace | str, layout: str = "auto"):
        self.folder = pathlib.Path(folder)
        self.label_space = LabelSpace.create(label_space)
        self.layout = natural_layout(self.label_space) if layout == "auto" else layout
        self._files = open_files(self.folder, self.label_space, self.layout)

    def write(
        self,
        segmentation,
        name: str | None = None,
        sequence: str | int | None = None,
        frame: int | None = None,
    ) -> None:
        """Writes the files of one image; the JSON follows on `close`.

        Args:
            segmentation: `Segmentation`. Without a panoptic map only the semantic picture is written, in
                layouts that have one.
            name: str. Name of the image; `segmentation.name` when `None`.
            sequence: str or int. Name or number of the video, in layouts for videos; from `name` when `None`:
                `"0002/000005"` is frame 5 of `"0002"`, and so is `"0002_000005_munster"`.
            frame: int. Number of the frame in its video.

        Raises:
            ValueError: when the name is missing, when the layout needs a frame, depth or a panoptic map that
                is not there, or has no room for so many instances; the message names the image.
        """
        name = name or segmentation.name
        try:
            self._files.write(segmentation, name, sequence, frame)
        except ValueError as error:
            if name is None:
                raise
            raise ValueError(f"Prediction {name!r}: {error}") from error

    def close(self) -> None:
        """Writes the JSON file that describes all panoptic pictures, in layouts that have one."""
        self._files.close()

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()
