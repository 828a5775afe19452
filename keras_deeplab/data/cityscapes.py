"""Cityscapes, straight from its official folders."""

from __future__ import annotations

import functools
import os
import pathlib

import numpy as np

from keras_deeplab.data.coco_json import read_coco_json, segments_info
from keras_deeplab.data.file_reader import FileReader
from keras_deeplab.data.files import dataset_folder, find_files, list_folders, require_files
from keras_deeplab.data.panoptic_png import decode_segment_ids, panoptic_from_segments
from keras_deeplab.labels import CITYSCAPES, LabelSpace

_IMAGE_ENDING = "_leftImg8bit.png"
_INSTANCE_ENDING = "_gtFine_instanceIds.png"
_PANOPTIC_ENDING = "_gtFine_panoptic.png"
_LAST_CATEGORY = 33  # the dataset's own ids are 0..33


class Cityscapes(FileReader):
    """Frames of Cityscapes with panoptic maps, as a random-access sequence.

    Two forms of the official labels are read. `gtFine/<split>/<city>/*_instanceIds.png` come with the
    dataset; `gtFine/cityscapes_panoptic_<split>[_trainId]` with its JSON is what the dataset's scripts
    make of them. Both give the same maps, up to the numbers of the instances.

    Samples are dicts of `"image"` uint8 `[1024, 2048, 3]`, `"panoptic"` int32 `[1024, 2048]` and `"name"`,
    e.g. `"aachen_000000_000019"`. Thing regions without instances are crowd (instance 0). Classes that
    the label space does not have are void.

    Args:
        root: path of the folder that holds `leftImg8bit` and `gtFine`.
        split: `"train"`, `"val"` or `"test"`.
        label_space: `LabelSpace` with Cityscapes' ids as `category_ids`.
        labels: `"instance_ids"`, `"panoptic"`, `"auto"` for the first of them that is there, or `None` to
            read images only.
        images: bool. `False` reads labels only.

    Raises:
        ValueError: when a folder is missing or empty, or when images and labels do not belong together;
            when a sample is read, for damaged files, unknown ids or sizes that differ.

    Source: Cordts et al. 2016, "The Cityscapes Dataset".

    Example:
    ```python
    train = Cityscapes("/data/cityscapes", split="train")
    len(train)  # 2975
    train[0]["panoptic"].shape  # (1024, 2048)
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = CITYSCAPES,
        labels: str | None = "auto",
        images: bool = True,
    ):
        if labels not in ("auto", "instance_ids", "panoptic", None):
            raise ValueError(
                f"`labels` must be 'auto', 'instance_ids', 'panoptic' or None. Received: labels={labels!r}"
            )
        self.root = dataset_folder(root, "Cityscapes")
        self.split = split
        image_paths = self._find_images() if images else None
        self.labels, label_paths = self._find_labels(labels)
        self._segments = self._read_segments() if self.labels == "panoptic" else None
        super().__init__(image_paths, label_paths, label_space)

    def __repr__(self) -> str:
        frames = f"{len(self)} frames"
        return f"Cityscapes({str(self.root)!r}, split={self.split!r}, labels={self.labels!r}, {frames})"

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a label file in the form that is read."""
        if self.labels == "instance_ids":
            return panoptic_from_instance_ids(label, self.label_space)
        if path.name not in self._segments:
            raise ValueError(f"{self._panoptic_folder}.json does not describe it")
        segments = segments_info(self._segments[path.name])
        return panoptic_from_segments(decode_segment_ids(label), segments, self.label_space)

    def _find_images(self):
        folder = self.root / "leftImg8bit" / self.split
        paths = find_files(folder, f"*/*{_IMAGE_ENDING}", _IMAGE_ENDING)
        return require_files(paths, "images", f"{folder}/<city>/*{_IMAGE_ENDING}", self._existing_splits())

    def _find_labels(self, labels):
        """The form of labels that is there, and its files by frame name."""
        if labels is None:
            return None, None
        tried = []
        for form, folder, pattern, ending in (
            ("instance_ids", self.root / "gtFine" / self.split, f"*/*{_INSTANCE_ENDING}", _INSTANCE_ENDING),
            ("panoptic", self._panoptic_folder, f"*{_PANOPTIC_ENDING}", _PANOPTIC_ENDING),
        ):
            if labels in ("auto", form):
                paths = find_files(folder, pattern, ending)
                if paths:
                    return form, paths
                tried.append(f"{folder}/{pattern.replace('*/', '<city>/')}")
        return None, require_files({}, "labels", " or ".join(tried), self._existing_splits())

    @functools.cached_property
    def _panoptic_folder(self):
        folder = self.root / "gtFine" / f"cityscapes_panoptic_{self.split}"
        with_train_ids = folder.with_name(folder.name + "_trainId")
        return with_train_ids if with_train_ids.is_dir() and not folder.is_dir() else folder

    def _read_segments(self):
        """The segments of each panoptic PNG, with Cityscapes' own category ids."""
        path = self._panoptic_folder.with_name(self._panoptic_folder.name + ".json")
        if not path.is_file():
            raise ValueError(f"The panoptic labels in {self._panoptic_folder} need {path}.")
        segments = read_coco_json(path).segments
        if self._panoptic_folder.name.endswith("_trainId"):
            for rows in segments.values():
                train_ids = rows[:, 1]
                if train_ids.size and not 0 <= train_ids.min() <= train_ids.max() < CITYSCAPES.num_classes:
                    raise ValueError(f"{path} holds category ids that are no train ids of Cityscapes.")
                rows[:, 1] = np.take(CITYSCAPES.category_ids, train_ids)
        return segments

    def _existing_splits(self):
        splits = {
            name
            for kind in ("leftImg8bit", "gtFine")
            for name in list_folders(self.root / kind)
            if not name.startswith("cityscapes_panoptic")
        }
        if not splits:
            return f"{self.root} holds neither leftImg8bit nor gtFine."
        return f"Splits in {self.root}: {', '.join(sorted(splits))}."


def panoptic_from_instance_ids(instance_ids: np.ndarray, label_space: LabelSpace = CITYSCAPES) -> np.ndarray:
    """A panoptic map from Cityscapes' own instance ids.

    An id below 1000 is a category without instances, or a crowd; another is `category * 1000 + instance`
    with instances from 0, which become instances from 1.

    Args:
        instance_ids: integer `[H, W]`, as in `*_gtFine_instanceIds.png`.
        label_space: `LabelSpace` with Cityscapes' ids as `category_ids`.

    Returns:
        int32 `[H, W]`, `class * label_divisor + instance`.

    Raises:
        ValueError: for ids that Cityscapes does not have, or instances beyond `label_divisor`.

    Example:
    ```python
    panoptic_from_instance_ids(np.array([[7, 26, 26000]]))  # [[0, 13000, 13001]]
    ```
    """
    if instance_ids.ndim != 2:
        raise ValueError(f"Instance ids must have shape [H, W]. Received: {instance_ids.shape}")
    table = _panoptic_of_instance_id(label_space)
    if instance_ids.min() >= 0 and instance_ids.max() < len(table):
        panoptic = np.take(table, instance_ids)
        if panoptic.min() >= 0:
            return panoptic
    present = np.unique(instance_ids)
    inside = (present >= 0) & (present < len(table))
    unknown = present[~inside | (table[np.where(inside, present, 0)] < 0)]
    raise ValueError(
        f"unknown instance ids {', '.join(map(str, unknown[:10]))}. Cityscapes has categories "
        f"0..{_LAST_CATEGORY} and category * 1000 + instance; the instance must be smaller than "
        f"`label_divisor` {label_space.label_divisor} - 1."
    )


@functools.lru_cache
def _panoptic_of_instance_id(label_space):
    """int32 panoptic value of each instance id, -1 for ids that do not exist."""
    ids = np.arange((_LAST_CATEGORY + 1) * 1000)
    has_instance = ids >= 1000
    categories = np.where(has_instance, ids // 1000, ids)
    classes = label_space.classes_from_categories(np.minimum(categories, _LAST_CATEGORY))
    instances = np.where(has_instance & np.isin(classes, label_space.things), ids % 1000 + 1, 0)
    panoptic = classes * label_space.label_divisor + instances
    exists = (categories <= _LAST_CATEGORY) & (instances < label_space.label_divisor)
    return np.where(exists, panoptic, -1).astype(np.int32)
