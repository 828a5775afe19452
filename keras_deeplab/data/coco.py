"""COCO, and any dataset in the COCO panoptic format."""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_deeplab.data.coco_json import read_coco_json, segments_info
from keras_deeplab.data.file_reader import FileReader
from keras_deeplab.data.files import dataset_folder, find_images, list_folders, require_files
from keras_deeplab.data.panoptic_png import decode_segment_ids, panoptic_from_segments
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

_YEAR = "2017"  # of the splits that have panoptic annotations


class CocoPanoptic(FileReader):
    """Images of any dataset in the COCO panoptic format, as a random-access sequence.

    The format is one JSON file and one folder of PNG files per split. Samples are dicts of `"image"` uint8
    `[H, W, 3]`, `"panoptic"` int32 `[H, W]` and `"name"`, the image's file name without extension. Crowd
    regions of things have instance 0. Categories that the label space does not have are void.

    Args:
        images: path of the folder of images. `None` or `False` reads labels only.
        annotations: path of the JSON file. `None` reads all images of the folder, without labels.
        panoptic_folder: path of the folder of PNG files; the JSON's path without `.json` when `None`.
        label_space: `LabelSpace` with the dataset's ids as `category_ids`. `None` takes COCO's where the JSON
            has its categories, else makes one of them: see `LabelSpace.from_coco`.
        labels: bool. `False` or `None` reads the images that the JSON lists, without labels.

    Raises:
        ValueError: when files are missing, or when images and annotations do not belong together; when a
            sample is read, for damaged files, segments without a description or sizes that differ.

    Source: Kirillov et al. 2019, "Panoptic Segmentation".

    Example:
    ```python
    pets = CocoPanoptic("pets/images", "pets/panoptic_train.json")
    pets.label_space.classes  # ("cat", "dog", "grass")
    ```
    """

    def __init__(
        self,
        images: str | os.PathLike | None,
        annotations: str | os.PathLike | None,
        panoptic_folder: str | os.PathLike | None = None,
        label_space: LabelSpace | None = None,
        labels: bool = True,
    ):
        self.annotations = annotations
        files = find_coco_files(images, annotations, panoptic_folder, labels)
        if label_space is None:
            label_space = _label_space_of(files.categories)
        self._segments = files.segments
        super().__init__(files.images, files.labels, label_space)

    def __repr__(self) -> str:
        source = str(self.annotations)
        return f"{type(self).__name__}({source!r}, label_space={self.label_space.name!r}, {len(self)} images)"

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a PNG of segment ids."""
        return panoptic_from_coco(label, self._segments[os.fspath(path)], self.label_space)


class Coco(CocoPanoptic):
    """COCO with panoptic annotations, as a random-access sequence.

    Read are `<split>2017/*.jpg`, `annotations/panoptic_<split>2017.json` and the folder of the same name. See
    `CocoPanoptic` for the samples.

    Args:
        root: path of the folder that holds `train2017`, `val2017` and `annotations`.
        split: `"train"`, `"val"` or `"test"`.
        label_space: `LabelSpace` with the annotations' ids as `category_ids`. `None` takes that of COCO, or
            that of the JSON where it has other categories.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels only.

    Raises:
        ValueError: see `CocoPanoptic`.

    Source: Lin et al. 2014, "Microsoft COCO"; Kirillov et al. 2019, "Panoptic Segmentation".

    Example:
    ```python
    val = Coco("/data/coco", split="val")
    len(val)  # 5000
    val[0]["name"]  # "000000000139"
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace | None = None,
        labels: bool = True,
        images: bool = True,
    ):
        self.root = dataset_folder(root, "COCO")
        self.split = split
        folder = self.root / f"{split}{_YEAR}"
        annotations = self.root / "annotations" / f"panoptic_{split}{_YEAR}.json"
        if images and not folder.is_dir():
            require_files({}, "images", f"{folder}/*.jpg", f"Folders in {self.root}: {_listing(self.root)}.")
        if labels and not annotations.is_file():
            require_files({}, "labels", str(annotations))
        if label_space is None and not labels:
            label_space = LABEL_SPACES["coco_panoptic"]
        super().__init__(folder if images else None, annotations if labels else None, label_space=label_space)

    def __repr__(self) -> str:
        return f"Coco({str(self.root)!r}, split={self.split!r}, {len(self)} images)"


class CocoFiles(NamedTuple):
    """The files of a dataset in the COCO panoptic format, by name; `segments` by the path of the label."""

    images: dict[str, pathlib.Path] | None
    labels: dict[str, pathlib.Path] | None
    segments: dict[str, np.ndarray]
    categories: list[dict]


def find_coco_files(
    images: str | os.PathLike | None,
    annotations: str | os.PathLike | None,
    panoptic_folder: str | os.PathLike | None = None,
    labels: bool = True,
) -> CocoFiles:
    """Finds the images and labels that an annotation file describes.

    Args:
        images: path of the folder of images. `None` for none.
        annotations: path of the JSON file. `None` takes all images of the folder.
        panoptic_folder: path of the folder of PNG files; the JSON's path without `.json` when `None`.
        labels: bool. Whether to find labels, too.

    Raises:
        ValueError: when a file or a description is missing; the message names the first.
    """
    found = find_images(pathlib.Path(images)) if images else None
    if found is not None:
        require_files(found, "images", f"in {images}")
    if annotations is None:
        return CocoFiles(found, None, {}, [])
    described = read_coco_json(annotations)
    names = {image: os.path.splitext(file)[0] for image, file in described.images.items()}
    if found is not None:
        absent = [described.images[image] for image, name in names.items() if name not in found]
        _check_absent(absent, f"images of {annotations} are not in {images}")
        found = {name: found[name] for name in sorted(names.values())}
    if not labels:
        return CocoFiles(found, None, {}, described.categories)
    _check_ids(annotations, described)
    folder = pathlib.Path(panoptic_folder or pathlib.Path(annotations).with_suffix(""))
    existing = find_images(folder)
    stems = {image: os.path.splitext(file)[0] for image, file in described.annotations.items()}
    absent = [f"{folder}/{described.annotations[i]}" for i, stem in stems.items() if stem not in existing]
    _check_absent(absent, f"label files of {annotations} do not exist")
    paths = dict(sorted((names[image], existing[stem]) for image, stem in stems.items()))
    segments = {
        os.fspath(existing[stem]): described.segments[described.annotations[image]]
        for image, stem in stems.items()
    }
    return CocoFiles(found, paths, segments, described.categories)


def panoptic_from_coco(label: np.ndarray, rows: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """A panoptic map from a PNG of segment ids and the rows that describe them in `CocoJson.segments`."""
    return panoptic_from_segments(decode_segment_ids(label), segments_info(rows), label_space)


def _label_space_of(categories):
    """The label space of the categories: COCO's own where they are COCO's."""
    label_space, coco = LabelSpace.from_coco(categories), LABEL_SPACES["coco_panoptic"]
    names = {coco.category_id(c): name for c, name in enumerate(coco.classes) if c != coco.ignore_label}
    is_coco = dict(zip(label_space.category_ids, label_space.classes, strict=True)) == names
    return coco if is_coco else label_space


def _check_ids(path, described):
    without = [file for image, file in described.images.items() if image not in described.annotations]
    _check_absent(without, f"images of {path} have no annotation")
    without = [file for image, file in described.annotations.items() if image not in described.images]
    _check_absent(without, f"annotations of {path} belong to no image")


def _check_absent(absent, problem):
    if absent:
        raise ValueError(f"{len(absent)} {problem}, the first is {absent[0]}.")


def _listing(folder):
    return ", ".join(list_folders(folder)) or "none"
