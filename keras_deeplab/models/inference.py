"""Runs a segmenter over images of any kind: reads, batches, predicts, restores the original size."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from keras_deeplab.data.images import list_images, read_image, to_rgb_array
from keras_deeplab.progress import progress_bar
from keras_deeplab.results import Segmentation

PIXEL_MAPS = ("panoptic", "semantic", "instance", "score", "depth")


def segment_images(model, x, batch_size: int = 1, progress: bool = True, **options):
    """Segments one image or many; see `Segmenter.segment`, which hands `options` on to `predict`."""
    if isinstance(x, (str, os.PathLike)) and pathlib.Path(x).is_dir():
        x = list_images(x)
    if isinstance(x, np.ndarray) and x.ndim == 4:
        x = list(x)
    if _is_image(x):
        return next(_segment_each(model, [x], 1, options))
    if not isinstance(x, Iterable):
        raise ValueError(
            f"Cannot segment a {type(x).__name__}. Pass a path, a PIL image, an array or a list."
        )
    results = _segment_each(model, x, batch_size, options)
    total = len(x) if hasattr(x, "__len__") else None
    return progress_bar(results, total, "Segmenting") if progress else results


def _is_image(x):
    return isinstance(x, (str, os.PathLike)) or hasattr(x, "shape") or hasattr(x, "getbands")


def _segment_each(model, images, batch_size, options) -> Iterator[Segmentation]:
    images = iter(images)
    while batch := [_read(image) for image in itertools.islice(images, batch_size)]:
        prepared = [(*model.preprocessor.prepare(image), image, name) for image, name in batch]
        # A network of any size gets images of one size per call.
        for _, same_size in itertools.groupby(prepared, key=lambda item: item[0].shape):
            yield from _segment_batch(model, list(same_size), options)


def _segment_batch(model, batch, options):
    pixels = np.stack([item[0] for item in batch])
    maps = model.predict(pixels, batch_size=len(batch), verbose=0, **options)
    for i, (_, placement, image, name) in enumerate(batch):
        restored = {
            key: model.preprocessor.restore(maps[key][i], placement) if key in maps else None
            for key in PIXEL_MAPS
        }
        yield Segmentation(**restored, label_space=model.label_space, image=image, name=name)


def _read(image):
    if isinstance(image, (str, os.PathLike)):
        return read_image(image), pathlib.Path(image).stem
    return to_rgb_array(image), None
