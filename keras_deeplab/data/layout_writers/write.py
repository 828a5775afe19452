"""Writes datasets in the official folder layouts, for readers, evaluation scripts and other libraries."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from keras_deeplab.data.layout_writers.cityscapes import CityscapesWriter
from keras_deeplab.data.layout_writers.cityscapes_dvps import CityscapesDvpsWriter
from keras_deeplab.data.layout_writers.coco import CocoWriter
from keras_deeplab.data.layout_writers.files import Files
from keras_deeplab.data.layout_writers.kitti_step import KittiStepWriter
from keras_deeplab.labels import LabelSpace
from keras_deeplab.progress import progress_bar

LAYOUTS = {
    "cityscapes": CityscapesWriter,
    "coco": CocoWriter,
    "kitti_step": KittiStepWriter,
    "cityscapes_dvps": CityscapesDvpsWriter,
}
VIDEO_LAYOUTS = ("kitti_step", "cityscapes_dvps")
_SPLITS = ("train", "val", "test")


def write_layout(
    samples: Sequence[dict],
    folder: str | os.PathLike,
    layout: str,
    split: str = "train",
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Writes the samples of a dataset in an official layout.

    `"cityscapes"`: `leftImg8bit/<split>/<city>`, `gtFine/<split>/<city>` with instance and label ids, and
    `gtFine/cityscapes_panoptic_<split>` with its JSON. Frames keep names like `aachen_000000_000019`; others
    are counted.

    `"coco"`: `<split>2017`, and `annotations/panoptic_<split>2017` with its JSON. Images keep their numbers
    or are counted from 1. They are JPEGs of quality 95, which changes pixels a little. Takes any classes; the
    other layouts need those of Cityscapes, which are found by name.

    `"kitti_step"`: `images/<split>/<sequence>` and `panoptic_maps/<split>/<sequence>`, for videos. Of the
    things only cars and persons have instances; pixels of other things keep their class.

    `"cityscapes_dvps"`: `video_sequence/<split>` with images, instance ids and depth, for videos. Depth is
    rounded to 256ths of a metre; what is farther than the 255.99 m that fit becomes unknown.

    Sequences keep numbers as names or are counted from 0. Samples without `"panoptic"` (test splits) get
    images only, and samples without `"image"` labels only.

    Every file is written whole or not at all, descriptions last, so that the same call completes what was
    interrupted. Files of other content are not touched, unless `overwrite`; other files always stay.

    Args:
        samples: reader, or any sequence of samples with an attribute `label_space`.
        folder: path of the dataset's folder, made when missing.
        layout: `"cityscapes"`, `"coco"`, `"kitti_step"` or `"cityscapes_dvps"`.
        split: `"train"`, `"val"` or `"test"`.
        overwrite: bool. Whether files of other content are replaced.
        progress: bool. Whether to show a progress bar on a terminal.

    Raises:
        ValueError: when there are no samples, for an unknown layout or split, for classes that the layout
            does not have, samples that lack what it needs, a name that is there twice, or a file of other
            content.

    Example:
    ```python
    scenes = StreetScenes(10, frames_per_sequence=20, depth=True)
    write_layout(scenes, "streets", "cityscapes_dvps", split="val")
    write_layout(Cityscapes("/data/cityscapes"), "cityscapes_as_coco", "coco")
    ```
    """
    if layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {', '.join(LAYOUTS)}. Received: layout={layout!r}")
    if split not in _SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(_SPLITS)}. Received: split={split!r}")
    if len(samples) == 0:
        raise ValueError("There is nothing to write: the dataset has no samples.")
    files = Files(pathlib.Path(folder), overwrite)
    writer = LAYOUTS[layout](files, split, LabelSpace.create(samples.label_space))
    indices = range(len(samples))
    for index in progress_bar(indices, len(samples), "Writing") if progress else indices:
        sample = samples[index]
        try:
            writer.write(index, sample)
        except ValueError as error:
            raise ValueError(f"Sample {sample['name']!r}: {error}") from error
    writer.close()
