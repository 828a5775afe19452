"""How well a model does on a labelled dataset."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Sequence
from typing import Literal

from keras_deeplab.data.writers import PredictionWriter
from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics import MeanIoU, PanopticQuality
from keras_deeplab.progress import progress_bar

_METRICS = ("pq", "miou")


def evaluate(
    model,
    reader: Sequence[dict],
    metrics: Literal["auto"] | Sequence[str] = "auto",
    batch_size: int = 1,
    convention: Literal["deeplab2", "official"] = "deeplab2",
    save_to: str | os.PathLike | None = None,
    progress: bool = True,
) -> dict:
    """Segments every image of a dataset and compares with its labels, at the original size.

    Images are read, segmented and forgotten one batch at a time.

    Args:
        model: `Segmenter`, or anything with its `segment` and `label_space`.
        reader: sequence of samples, dicts with `"image"` (uint8 `[H, W, 3]`), `"panoptic"` (int32 `[H, W]`)
            and `"name"`. Its `label_space`, where it has one, must code panoptic maps as the model's does.
        metrics: sequence of `"pq"` and `"miou"`. `"auto"` is both for panoptic models with thing classes,
            else `"miou"`.
        batch_size: int. Images that the model takes at once.
        convention: how `PanopticQuality` treats crowd regions, `"deeplab2"` or `"official"`.
        save_to: path of a folder for the predictions in the official formats, see
            `data.writers.PredictionWriter`. Not written when `None`.
        progress: bool. Whether to show a progress bar on a terminal.

    Returns:
        Dict of plain numbers: `"pq"`, `"sq"`, `"rq"`, each also with `_things` and `_stuff`, and
        `"convention"`; `"miou"`; `"images"`, the number of images; `"per_class"`, a dict from class name to
        its `"pq"`, `"sq"`, `"rq"`, `"tp"`, `"fp"`, `"fn"` and `"iou"`. Qualities are in 0..1, NaN for classes
        that never occur.

    Raises:
        ValueError: when the dataset is empty or has no labels, when the label spaces differ, or when a map
            cannot be compared; the message names the image.

    Example:
    ```python
    results = evaluate(model, Cityscapes("/data/cityscapes", split="val"), save_to="predictions")
    print(f"{100 * results['pq']:.1f} PQ, {100 * results['miou']:.1f} mIoU")
    ```
    """
    if len(reader) == 0:
        raise ValueError("There is nothing to evaluate: the dataset has no images.")
    if metrics != "auto" and (isinstance(metrics, str) or not metrics or set(metrics) - set(_METRICS)):
        raise ValueError(f'`metrics` must be "auto" or a list of {_METRICS}. Received: metrics={metrics!r}')
    label_space = _common_label_space(model, reader)
    truths = collections.deque()
    results = model.segment(_images(reader, truths), batch_size=batch_size, progress=False)
    if progress:
        results = progress_bar(results, len(reader), "Evaluating")

    counters, count = {}, 0
    with PredictionWriter(save_to, label_space) if save_to else contextlib.nullcontext() as writer:
        for result in results:
            name, truth = truths.popleft()
            counters = counters or _make_metrics(
                metrics, label_space, convention, result.panoptic is not None
            )
            try:
                _update(counters, truth, result, label_space)
            except ValueError as error:
                raise ValueError(f"Image {name!r}: {error}") from error
            if writer:
                writer.write(result, name)
            count += 1
    if count != len(reader):
        raise ValueError(f"The model segmented {count} of {len(reader)} images.")
    return _collect(counters, label_space) | {"images": count}


def _images(reader, truths):
    """The images of a dataset; their names and labels wait in `truths` for the predictions."""
    for index in range(len(reader)):
        sample = reader[index]
        name = sample.get("name", str(index))
        if sample.get("panoptic") is None:
            raise ValueError(f"Image {name!r} has no label to compare with.")
        truths.append((name, sample["panoptic"]))
        yield sample["image"]


def _common_label_space(model, reader):
    ours = LabelSpace.create(model.label_space)
    theirs = LabelSpace.create(getattr(reader, "label_space", ours))
    for field in ("num_classes", "things", "ignore_label", "label_divisor"):
        if getattr(ours, field) != getattr(theirs, field):
            raise ValueError(
                f"The model's label space {ours.name!r} has {field}={getattr(ours, field)}, but the "
                f"dataset's {theirs.name!r} has {field}={getattr(theirs, field)}. Read the dataset with "
                "label_space=model.label_space, or load the model for the dataset's label space."
            )
    return theirs


def _make_metrics(names, label_space, convention, is_panoptic):
    if names == "auto":
        names = _METRICS if is_panoptic and label_space.things else ("miou",)
    if "pq" in names and not is_panoptic:
        raise ValueError(
            'The model makes no panoptic maps, which the metric "pq" needs. Use metrics=["miou"].'
        )
    make = {"pq": lambda: PanopticQuality(label_space, convention), "miou": lambda: MeanIoU(label_space)}
    return {name: make[name]() for name in names}


def _update(counters, truth, result, label_space):
    if "pq" in counters:
        counters["pq"].update(truth, result.panoptic)
    if "miou" in counters:
        counters["miou"].update(truth // label_space.label_divisor, result.semantic)


def _collect(counters, label_space):
    means, arrays = {}, {}
    for name, metric in counters.items():
        result = metric.result()
        arrays |= result.pop("per_class")
        means |= result
        if name == "pq":
            means["convention"] = metric.convention
    per_class = {
        name: {key: array[class_id].item() for key, array in arrays.items()}
        for class_id, name in enumerate(label_space.classes)
    }
    return means | {"per_class": per_class}
