"""CamVid, as SegNet's authors prepared it."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from keras_deeplab.data.components import split_things
from keras_deeplab.data.file_reader import FileReader, describe
from keras_deeplab.data.files import dataset_folder, find_images, list_folders, require_files
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

_UNLABELLED = 11


class CamVid(FileReader):
    """Images of CamVid with 11 classes (SegNet's preparation, 360x480), as a random-access sequence.

    The labels have classes alone. With `instances=True` the connected regions of cars, pedestrians and
    bicyclists are their instances: objects that touch are one, and regions below 50 pixels are crowd.

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]` and `"name"`, e.g.
    `"0001TP_006690"`.

    Args:
        root: path of the folder that holds `train`, `trainannot`, `val` and so on.
        split: `"train"`, `"val"` or `"test"`.
        label_space: `LabelSpace` of the 11 classes.
        labels: `"semantic"`, or `None` to read images only.
        images: bool. `False` reads labels only.
        instances: bool. `False` leaves all things in crowds (instance 0).

    Raises:
        ValueError: when a folder is missing or empty, or when images and labels do not belong together;
            when a sample is read, for damaged files, unknown classes or sizes that differ.

    Source: Brostow et al. 2009, "Semantic object classes in video"; Badrinarayanan et al. 2015 (arXiv
        1511.00561).

    Example:
    ```python
    train = CamVid("/data/camvid", split="train")
    len(train)  # 367
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["camvid"],
        labels: str | None = "semantic",
        images: bool = True,
        instances: bool = True,
    ):
        if labels not in ("semantic", None):
            raise ValueError(f"`labels` must be 'semantic' or None. Received: labels={labels!r}")
        self.root = dataset_folder(root, "CamVid")
        self.split, self.instances = split, instances
        hint = f"Folders in {self.root}: {', '.join(list_folders(self.root)) or 'none'}."
        image_paths = label_paths = None
        if images:
            folder = self.root / split
            image_paths = require_files(find_images(folder), "images", f"{folder}/*.png", hint)
        if labels:
            folder = self.root / f"{split}annot"
            label_paths = require_files(find_images(folder), "labels", f"{folder}/*.png", hint)
        super().__init__(image_paths, label_paths, label_space)

    def __repr__(self) -> str:
        return f"CamVid({str(self.root)!r}, split={self.split!r}, {len(self)} images)"

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a label file: classes 0 to 10, and 11 for what is unlabelled."""
        if label.ndim != 2:
            raise ValueError(f"a label must be a grey PNG of classes. Received: {describe(label)}")
        panoptic = make_panoptic(label, None, self.label_space, void_classes=[_UNLABELLED])
        return split_things(panoptic, self.label_space) if self.instances else panoptic
