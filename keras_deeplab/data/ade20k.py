"""ADE20K's scene parsing benchmark, straight from its official folders."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from keras_deeplab.data.coco import find_coco_files, panoptic_from_coco
from keras_deeplab.data.file_reader import FileReader, describe
from keras_deeplab.data.files import dataset_folder, find_images, list_folders, require_files
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

_NUM_CLASSES = 150
_FOLDERS = {"train": "training", "val": "validation"}


class Ade20k(FileReader):
    """Images of ADE20K's scene parsing benchmark (ADEChallengeData2016), as a random-access sequence.

    Two forms of labels are read. `ade20k_panoptic_<split>.json` with its folder of PNG files is what
    Mask2Former's script makes of the official annotations. `annotations/<training|validation>/*.png` come
    with the dataset and hold classes without instances: every thing is then a crowd (instance 0).

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]` and `"name"`, e.g.
    `"ADE_val_00000001"`. What is none of the 150 classes is void, class 0.

    Args:
        root: path of the folder that holds `images` and `annotations`.
        split: `"train"` or `"val"`.
        label_space: `LabelSpace` with the panoptic annotations' ids as `category_ids`.
        labels: `"panoptic"`, `"semantic"`, `"auto"` for the first of them that is there, or `None` to read
            images only.
        images: bool. `False` reads labels only.

    Raises:
        ValueError: when a folder is missing or empty, or when images and labels do not belong together;
            when a sample is read, for damaged files, unknown classes or sizes that differ.

    Source: Zhou et al. 2017, "Scene Parsing through ADE20K Dataset".

    Example:
    ```python
    train = Ade20k("/data/ADEChallengeData2016", split="train")
    len(train)  # 20210
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["ade20k_panoptic"],
        labels: str | None = "auto",
        images: bool = True,
    ):
        if labels not in ("auto", "panoptic", "semantic", None):
            raise ValueError(
                f"`labels` must be 'auto', 'panoptic', 'semantic' or None. Received: labels={labels!r}"
            )
        self.root = dataset_folder(root, "ADE20K")
        self.split = split
        folder = self.root / "images" / _FOLDERS.get(split, split)
        image_paths = None
        if images:
            hint = f"Folders in {folder.parent}: {', '.join(list_folders(folder.parent)) or 'none'}."
            image_paths = require_files(find_images(folder), "images", f"{folder}/*.jpg", hint)
        self._segments = {}
        self.labels, label_paths = self._find_labels(labels)
        super().__init__(image_paths, label_paths, label_space)

    def __repr__(self) -> str:
        return f"Ade20k({str(self.root)!r}, split={self.split!r}, labels={self.labels!r}, {len(self)} images)"

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a label file in the form that is read."""
        if self.labels == "panoptic":
            return panoptic_from_coco(label, self._segments[os.fspath(path)], self.label_space)
        if label.ndim != 2:
            raise ValueError(f"an annotation must be a grey PNG of classes. Received: {describe(label)}")
        if label.max() > _NUM_CLASSES:
            raise ValueError(
                f"unknown classes {np.unique(label[label > _NUM_CLASSES])}. ADE20K has 0 to {_NUM_CLASSES}"
            )
        # Void is 0, and the classes are one more than the categories of the panoptic annotations.
        classes = self.label_space.classes_from_categories(np.arange(_NUM_CLASSES))
        table = np.concatenate([[self.label_space.ignore_label], classes])
        return make_panoptic(table[label], None, self.label_space)

    def _find_labels(self, labels):
        """The form of labels that is there, and its files by image name."""
        if labels is None:
            return None, None
        annotations = self.root / f"ade20k_panoptic_{self.split}.json"
        if labels == "panoptic" or (labels == "auto" and annotations.is_file()):
            files = find_coco_files(None, annotations)
            self._segments = files.segments
            return "panoptic", files.labels
        folder = self.root / "annotations" / _FOLDERS.get(self.split, self.split)
        tried = f"{annotations} or {folder}/*.png" if labels == "auto" else f"{folder}/*.png"
        return "semantic", require_files(find_images(folder), "labels", tried)
