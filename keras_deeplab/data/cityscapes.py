"""Cityscapes, straight from its official folders."""

from __future__ import annotations

import functools
import json
import os
import pathlib

import numpy as np

from keras_deeplab.data.images import image_file_size, read_image, read_label
from keras_deeplab.data.panoptic_png import decode_segment_ids, panoptic_from_segments
from keras_deeplab.labels import CITYSCAPES, LabelSpace

_IMAGE_ENDING = "_leftImg8bit.png"
_INSTANCE_ENDING = "_gtFine_instanceIds.png"
_PANOPTIC_ENDING = "_gtFine_panoptic.png"
_LAST_CATEGORY = 33  # the dataset's own ids are 0..33


class Cityscapes:
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
        self.root = pathlib.Path(root)
        self.split = split
        self.label_space = LabelSpace.create(label_space)
        if labels not in ("auto", "instance_ids", "panoptic", None):
            raise ValueError(
                f"`labels` must be 'auto', 'instance_ids', 'panoptic' or None. Received: labels={labels!r}"
            )
        if labels is None and not images:
            raise ValueError("Nothing to read: `labels` is None and `images` is False.")
        if not self.root.is_dir():
            raise ValueError(f"The Cityscapes folder {self.root} does not exist.")
        image_paths = self._find_images() if images else None
        self.labels, label_paths = self._find_labels(labels)
        self._segments = self._read_segments() if self.labels == "panoptic" else None
        self.names = _common_names(image_paths, label_paths)
        self._image_paths, self._label_paths = image_paths, label_paths

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        name = self.names[index]
        sample = {"name": name}
        if self._image_paths is not None:
            sample["image"] = read_image(self._image_paths[name])
        if self._label_paths is not None:
            sample["panoptic"] = self.load_panoptic(index)
        if "image" in sample and "panoptic" in sample:
            size, label_size = sample["image"].shape[:2], sample["panoptic"].shape
            if size != label_size:
                raise ValueError(
                    f"The image {self._image_paths[name]} is {size[0]}x{size[1]}, but its label map "
                    f"{self._label_paths[name]} is {label_size[0]}x{label_size[1]}."
                )
        return sample

    def __repr__(self) -> str:
        frames = f"{len(self)} frames"
        return f"Cityscapes({str(self.root)!r}, split={self.split!r}, labels={self.labels!r}, {frames})"

    @functools.cached_property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of the first frame; all official frames have the same size."""
        paths = self._image_paths if self._image_paths is not None else self._label_paths
        return image_file_size(paths[self.names[0]])

    def load_panoptic(self, index: int) -> np.ndarray:
        """The label map of one frame, without its image.

        Args:
            index: int. Position in the sequence.

        Returns:
            int32 `[H, W]`, `class * label_divisor + instance`.

        Raises:
            ValueError: when the file is missing, damaged or holds unknown ids, or labels are not read.
        """
        if self._label_paths is None:
            raise ValueError("This reader was made with labels=None and has no label maps.")
        path = self._label_paths[self.names[index]]
        label = read_label(path)
        try:
            if self.labels == "instance_ids":
                return panoptic_from_instance_ids(label, self.label_space)
            if path.name not in self._segments:
                raise ValueError(f"{self._panoptic_folder}.json does not describe it")
            segments = self._segments[path.name]
            return panoptic_from_segments(decode_segment_ids(label), segments, self.label_space)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def _find_images(self):
        folder = self.root / "leftImg8bit" / self.split
        paths = _find_files(folder, f"*/*{_IMAGE_ENDING}", _IMAGE_ENDING)
        if not paths:
            raise ValueError(
                f"There are no images {folder}/<city>/*{_IMAGE_ENDING}.{self._existing_splits()} "
                "Pass images=False to read labels only."
            )
        return paths

    def _find_labels(self, labels):
        """The form of labels that is there, and its files by frame name."""
        if labels is None:
            return None, None
        instance_folder = self.root / "gtFine" / self.split
        tried = []
        if labels in ("auto", "instance_ids"):
            paths = _find_files(instance_folder, f"*/*{_INSTANCE_ENDING}", _INSTANCE_ENDING)
            if paths:
                return "instance_ids", paths
            tried.append(f"{instance_folder}/<city>/*{_INSTANCE_ENDING}")
        if labels in ("auto", "panoptic"):
            paths = _find_files(self._panoptic_folder, f"*{_PANOPTIC_ENDING}", _PANOPTIC_ENDING)
            if paths:
                return "panoptic", paths
            tried.append(f"{self._panoptic_folder}/*{_PANOPTIC_ENDING}")
        raise ValueError(
            f"There are no labels {' or '.join(tried)}.{self._existing_splits()} "
            "Pass labels=None to read images only."
        )

    @functools.cached_property
    def _panoptic_folder(self):
        folder = self.root / "gtFine" / f"cityscapes_panoptic_{self.split}"
        with_train_ids = folder.with_name(folder.name + "_trainId")
        return with_train_ids if with_train_ids.is_dir() and not folder.is_dir() else folder

    def _read_segments(self):
        path = self._panoptic_folder.with_name(self._panoptic_folder.name + ".json")
        official = CITYSCAPES.category_ids if self._panoptic_folder.name.endswith("_trainId") else range(256)
        try:
            annotations = json.loads(path.read_bytes())["annotations"]
            return {
                entry["file_name"]: [
                    {**segment, "id": int(segment["id"]), "category_id": official[segment["category_id"]]}
                    for segment in entry["segments_info"]
                ]
                for entry in annotations
            }
        except FileNotFoundError:
            raise ValueError(f"The panoptic labels in {self._panoptic_folder} need {path}.") from None
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{path} is not a panoptic annotation file of Cityscapes: {error!r}") from error

    def _existing_splits(self):
        folders = {
            path.name
            for kind in ("leftImg8bit", "gtFine")
            for path in (self.root / kind).glob("*")
            if path.is_dir() and not path.name.startswith("cityscapes_panoptic")
        }
        if not folders:
            return f" {self.root} holds neither leftImg8bit nor gtFine."
        return f" Splits in {self.root}: {', '.join(sorted(folders))}."


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


def _find_files(folder, pattern, ending):
    """Files by frame name, sorted."""
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(pattern))}


def _common_names(image_paths, label_paths):
    if image_paths is None or label_paths is None:
        return list(image_paths or label_paths)
    missing = [name for name in image_paths if name not in label_paths]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(image_paths)} images have no labels, the first is "
            f"{image_paths[missing[0]]}. Remove them, or pass labels=None to read images only."
        )
    missing = [name for name in label_paths if name not in image_paths]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(label_paths)} label maps have no image, the first is "
            f"{label_paths[missing[0]]}. Remove them, or pass images=False to read labels only."
        )
    return list(image_paths)
