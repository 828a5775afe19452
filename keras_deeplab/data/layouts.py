"""Recognises which dataset a folder holds, and opens it."""

from __future__ import annotations

import importlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_deeplab.data.file_reader import FileReader
from keras_deeplab.data.files import dataset_folder
from keras_deeplab.data.images import read_label
from keras_deeplab.labels import LABEL_SPACES

_MAPS_LOOKED_AT = 50
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}


class FoundLayout(NamedTuple):
    """A dataset that was recognised: its name, as in `LAYOUTS`, and the splits that are there."""

    name: str
    splits: tuple[str, ...]


class Layout(NamedTuple):
    """How the folder of a dataset looks.

    Attributes:
        reader: module and class of its reader.
        patterns: glob patterns of files, any of which tell of it; `{split}` stands for a split.
        confirms: callable from the folder to whether it holds this dataset rather than one that looks alike.
    """

    reader: str
    patterns: tuple[str, ...]
    confirms: Callable[[pathlib.Path], bool] = lambda root: True


def open_dataset(root: str | os.PathLike, split: str = "train", **options) -> FileReader:
    """The reader of a dataset's split, whichever of the known datasets the folder holds.

    Args:
        root: path of the dataset's folder.
        split: str, e.g. `"train"`, `"val"` or `"test"`.
        options: further arguments of the reader, e.g. `labels=None` for images only.

    Returns:
        A random-access sequence of samples, e.g. `Cityscapes`.

    Raises:
        ValueError: when the folder is missing or not recognised, see `detect_layout`; or as the reader does.

    Example:
    ```python
    train = open_dataset("/data/kitti-step", split="train")
    train  # KittiStep('/data/kitti-step', split='train', 5027 frames of 12 sequences)
    ```
    """
    module, name = LAYOUTS[detect_layout(root).name].reader.split(":")
    return getattr(importlib.import_module(f"keras_deeplab.data.{module}"), name)(root, split, **options)


def detect_layout(root: str | os.PathLike) -> FoundLayout:
    """Recognises which dataset a folder holds, by the names of its files.

    Args:
        root: path of a folder.

    Returns:
        `FoundLayout`: the name of the dataset and its splits.

    Raises:
        ValueError: when the folder is missing, looks like none of the known datasets, or like several; the
            message shows what each of them looks like.

    Example:
    ```python
    detect_layout("/data/coco")  # FoundLayout(name="coco", splits=("train", "val"))
    ```
    """
    root = dataset_folder(root, "dataset")
    candidates = {name: _find_splits(root, layout.patterns) for name, layout in LAYOUTS.items()}
    found = [name for name, splits in candidates.items() if splits and LAYOUTS[name].confirms(root)]
    if len(found) == 1:
        return FoundLayout(found[0], candidates[found[0]])
    if found:
        readers = " or ".join(LAYOUTS[name].reader.split(":")[1] for name in found)
        raise ValueError(
            f"{root} may hold {' or '.join(found)}. Open it with {readers} of keras_deeplab.data."
        )
    looks = "\n".join(f"  {name}: {' or '.join(layout.patterns)}" for name, layout in LAYOUTS.items())
    raise ValueError(
        f"{root} holds none of the known datasets. They have files like these:\n{looks}\n"
        "Pass the folder that holds the first part of these paths. For your own data, see "
        "keras_deeplab.data.ImageFolder and CocoPanoptic."
    )


def _find_splits(root, patterns):
    """The splits that files of any of the patterns belong to, sorted."""
    names = {name for pattern in patterns for name in _splits_of(root, pattern)}
    return tuple(sorted({_SPLITS.get(name, name) for name in names}))


def _splits_of(root, pattern) -> Iterator[str]:
    before, part, after = re.fullmatch(r"((?:[^{]*/)?)([^/]*\{split\}[^/]*)/?(.*)", pattern).groups()
    named = re.compile(re.escape(part).replace(r"\{split\}", "(.+)"))
    for path in (root / before).glob(part.replace("{split}", "*")):
        match = named.fullmatch(path.name)
        if match and (not after or next(path.glob(after), None)):
            yield match[1]


def _tracks_things_of(name, image_ending) -> Callable[[pathlib.Path], bool]:
    """KITTI-STEP and MOTChallenge-STEP differ in the classes that have instances, and in their images."""

    def confirms(root):
        maps = itertools.islice(root.glob("panoptic_maps/*/*/*.png"), _MAPS_LOOKED_AT)
        tracked = next(filter(None, map(_classes_with_instances, maps)), None)
        if tracked:
            return tracked <= set(LABEL_SPACES[name].things)
        endings = [ending for ending in (".png", ".jpg") if _first(root, f"images/*/**/*{ending}")]
        return not endings or image_ending in endings

    return confirms


def _classes_with_instances(path):
    label = read_label(path)
    if label.ndim != 3:
        return set()
    return set(np.unique(label[..., 0][label[..., 1:].any(axis=-1)]).tolist()) - {255}


def _is_semkitti(root):
    """Whether labels are RGB or pairs, as in SemKITTI-DVPS, not integers; `None` where nothing tells."""
    if _first(root, "video_sequence/*/*_gtFine_class.png", "*/*_gtFine_class.png"):
        return True
    labels = ("video_sequence/*/*_gtFine_instanceTrainIds.png", "*/*_gtFine_instanceTrainIds.png")
    label, image = _first(root, *labels), _first(root, *(p.replace("{split}", "*") for p in _DVPS_PATTERNS))
    if label:
        return read_label(label).ndim == 3
    return False if image and image.name.count("_") > 2 else None


def _first(root, *patterns):
    return next(itertools.chain.from_iterable(map(root.glob, patterns)), None)


_STEP_PATTERNS = (
    "panoptic_maps/{split}/*/*.png", "images/{split}/[0-9]*/[0-9]*.png", "images/{split}/[0-9]*/[0-9]*.jpg"
)  # fmt: skip
_DVPS_PATTERNS = ("video_sequence/{split}/*_leftImg8bit.png", "{split}/*_leftImg8bit.png")

LAYOUTS = {
    "cityscapes": Layout(
        "cityscapes:Cityscapes",
        ("leftImg8bit/{split}/*/*_leftImg8bit.png", "gtFine/{split}/*/*_gtFine_instanceIds.png"),
    ),
    "coco": Layout("coco:Coco", ("annotations/panoptic_{split}2017.json", "{split}2017/*.jpg")),
    "ade20k": Layout("ade20k:Ade20k", ("images/{split}/ADE_*.jpg", "ade20k_panoptic_{split}.json")),
    "camvid": Layout("camvid:CamVid", ("{split}annot/*.png",)),
    "kitti_step": Layout("step:KittiStep", _STEP_PATTERNS, _tracks_things_of("kitti_step", ".png")),
    "motchallenge_step": Layout(
        "step:MotChallengeStep", _STEP_PATTERNS, _tracks_things_of("motchallenge_step", ".jpg")
    ),
    "cityscapes_dvps": Layout(
        "dvps:CityscapesDvps", _DVPS_PATTERNS, lambda root: _is_semkitti(root) is not True
    ),
    "semkitti_dvps": Layout(
        "dvps:SemKittiDvps", _DVPS_PATTERNS, lambda root: _is_semkitti(root) is not False
    ),
    "waymo": Layout(
        "waymo:Waymo", ("{split}/camera_segmentation/*.parquet", "{split}/camera_image/*.parquet")
    ),
}
