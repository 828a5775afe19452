"""Measures a model on a labelled dataset."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Literal

from keras_deeplab.data.writers import PredictionWriter
from keras_deeplab.evaluation.count_store import CountStore
from keras_deeplab.evaluation.identity import identify
from keras_deeplab.evaluation.processes import map_in_order
from keras_deeplab.evaluation.tally import Tally, add_up, choose_metrics, count_image, naming_image
from keras_deeplab.evaluation.task import check_task, common_label_space
from keras_deeplab.results import Segmentation


def evaluate(
    model,
    reader: Sequence[dict],
    metrics: Literal["auto"] | Sequence[str] = "auto",
    batch_size: int = 1,
    convention: Literal["deeplab2", "official"] = "deeplab2",
    save_to: str | os.PathLike | None = None,
    layout: str = "auto",
    resume: str | os.PathLike | None = None,
    processes: int = 0,
    progress: bool = True,
    **segment_options,
) -> dict:
    """Segments every image of a dataset and compares with its labels, at the original size.

    Images are read, segmented, counted and forgotten one batch at a time.

    Args:
        model: `Segmenter`, or anything with its `segment` and `label_space`.
        reader: sequence of samples, dicts with `"image"` (uint8 `[H, W, 3]`), `"panoptic"` (int32 `[H, W]`)
            and `"name"`; of videos also `"sequence"` and `"frame"`, of depth datasets `"depth"`. Its
            `label_space`, where it has one, must code panoptic maps as the model's does.
        metrics: sequence of names: `"pq"`, `"miou"`, `"ap"`; for videos `"stq"`, `"vpq"`; with depth
            `"depth"`, `"dstq"`, `"dvpq"`. `"auto"` is `"miou"`, with `"pq"` for panoptic models with thing
            classes and `"depth"` for models and datasets with depth.
        batch_size: int. Images that the model takes at once.
        convention: how segments that are crowd or void count, `"deeplab2"` or `"official"`, see
            `metrics.PanopticQuality`.
        save_to: path of a folder for the predictions, see `data.PredictionWriter`. Not written when `None`.
        layout: str. The benchmark whose scripts are to read the predictions, as for `data.PredictionWriter`.
        resume: path of a file that remembers what was counted. An evaluation that was interrupted goes on
            where it stood when it is started again with the same path. Nothing is remembered when `None`.
        processes: int. Processes that count while the model goes on; 0 counts in this one.
        progress: bool. Whether to show a progress bar on a terminal.
        **segment_options: for the model's `segment`, e.g. `flip=True` or `scales=(0.75, 1.0, 1.25)`.

    Returns:
        Dict of plain values: the numbers of each metric under the names of its `result()` (`"pq"`, `"sq"`,
        `"rq"`, each also with `_things` and `_stuff`; `"miou"`; ...), `"convention"`, and

        - `"images"`, the number of images;
        - `"per_class"`, a dict from class name to its numbers (`"pq"`, `"sq"`, `"rq"`, `"tp"`, `"fp"`,
          `"fn"`, `"iou"`, ...);
        - `"per_image"`, a list of dicts with `"index"`, `"name"` and the image's own `"pq"` and `"miou"`;
        - `"per_sequence"` for videos, a dict from sequence to its numbers;
        - `"confusion"`, rows of pixels by true and predicted class, see `metrics.MeanIoU`.

        Qualities are in 0..1, NaN for what never occurs.

    Raises:
        ValueError: when the dataset is empty, has no labels or lacks what a metric needs, when the label
            spaces differ, when a map cannot be compared (the message names the image), or when `resume`
            remembers another evaluation.
        ImportError: when a metric needs a package that is not installed.

    Example:
    ```python
    results = evaluate(model, Cityscapes("/data/cityscapes", split="val"), resume="val.sqlite")
    print(f"{100 * results['pq']:.1f} PQ, {100 * results['miou']:.1f} mIoU")
    ```
    """
    label_space = common_label_space("model has", model, reader)
    check_task(reader, metrics, convention)
    with contextlib.ExitStack() as stack:
        store = None
        if resume is not None:
            settings = {"metrics": metrics, "convention": convention, "layout": layout}
            settings["save_to"] = save_to and os.fspath(save_to)
            identity = identify(model, reader) | settings | segment_options
            store = stack.enter_context(CountStore(resume, identity))
        finished = store.finished if store else frozenset()
        pending = [index for index in range(len(reader)) if index not in finished]
        segmented = _segment(model, reader, pending, batch_size, segment_options)
        if save_to is not None:
            writer = stack.enter_context(PredictionWriter(save_to, label_space, layout))
            segmented = _write(segmented, writer)

        first = next(segmented, None)
        if metrics == "auto":
            metrics = choose_metrics(*first[1:], label_space) if first else store.metrics()
        tally = Tally(metrics, label_space, convention)
        inputs = _gather(tally, itertools.chain([first] if first else [], segmented))
        counted = map_in_order(functools.partial(count_image, tally), inputs, processes)
        if store:
            counted = _remember(counted, store, len(reader))
        return add_up(tally, counted, len(reader), progress)


def _segment(model, reader, indices, batch_size, options) -> Iterator[tuple[int, dict, Segmentation]]:
    """Index, sample without its image, and prediction of each image."""
    waiting = collections.deque()
    results = model.segment(
        _images(reader, indices, waiting), batch_size=batch_size, progress=False, **options
    )
    count = 0
    for segmentation in results:
        count += 1
        yield *waiting.popleft(), segmentation
    if count != len(indices):
        raise ValueError(f"The model segmented {count} of {len(indices)} images.")


def _images(reader, indices, waiting):
    """The images of a dataset; the rest of their samples waits for the predictions."""
    for index in indices:
        sample = {"name": str(index), **reader[index]}
        if sample.get("panoptic") is None:
            raise ValueError(f"Image {sample['name']!r} has no label to compare with.")
        image = sample.pop("image")
        waiting.append((index, sample))
        yield image


def _write(segmented, writer):
    for index, sample, segmentation in segmented:
        writer.write(segmentation, sample["name"], sample.get("sequence"), sample.get("frame"))
        yield index, sample, segmentation


def _gather(tally, segmented):
    """What the metrics look at, and no more, so that little goes to other processes."""
    for index, sample, segmentation in segmented:
        with naming_image(sample["name"]):
            inputs = tally.gather(sample, segmentation)
        yield index, sample["name"], inputs


def _remember(counted, store, total):
    """All images in order: new ones are stored, the others come from the store."""
    for index in range(total):
        if index in store.finished:
            yield index, *store.load(index)
        else:
            index, name, counts = next(counted)
            store.save(index, name, counts)
            yield index, name, counts
