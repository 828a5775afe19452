"""Average precision of the instances of panoptic maps."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.coco_evaluation import evaluate_masks, import_pycocotools
from keras_deeplab.metrics.coco_masks import encode_masks, find_column_runs
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.runs import find_runs
from keras_deeplab.segments import check_classes

# Name -> where it is in what pycocotools accumulates: the quantity, the IoU thresholds (of 0.5, 0.55 ...
# 0.95), the area range (all, small, medium, large) and the detections per image and class (1, 10, 100).
_SUMMARIES = {
    "ap": ("precision", slice(None), 0, 2),
    "ap_50": ("precision", slice(0, 1), 0, 2),
    "ap_75": ("precision", slice(5, 6), 0, 2),
    "ap_small": ("precision", slice(None), 1, 2),
    "ap_medium": ("precision", slice(None), 2, 2),
    "ap_large": ("precision", slice(None), 3, 2),
    "ar_1": ("recall", slice(None), 0, 0),
    "ar_10": ("recall", slice(None), 0, 1),
    "ar_100": ("recall", slice(None), 0, 2),
    "ar_small": ("recall", slice(None), 1, 2),
    "ar_medium": ("recall", slice(None), 2, 2),
    "ar_large": ("recall", slice(None), 3, 2),
}
_SIDE = {"image": np.int64, "class": np.int64, "area": np.int64, "code_length": np.int64, "codes": np.uint8}
# What is counted, as which dtype.
_COUNTS = {
    "sizes": np.int64,
    **{f"truth_{name}": dtype for name, dtype in (_SIDE | {"crowd": bool}).items()},
    **{f"prediction_{name}": dtype for name, dtype in (_SIDE | {"score": np.float64}).items()},
}
_MAX_INT32 = np.iinfo(np.int32).max


class InstanceAP:
    """Average precision and recall of the masks of thing instances, as COCO defines them.

    Every segment of a thing class is an instance. In the truth, instance 0 is a crowd region: it need not be
    found, and predictions inside of it are not counted. In a prediction, instance 0 is a segment like any
    other. The figures are what pycocotools finds in the same segments in COCO's own format, so there are no
    conventions to choose from. Needs pycocotools: `pip install "keras-deeplab[ap]"`.

    Between equal scores, pycocotools takes the detection that came first. Here their order follows from
    where they are in the image, and from the contents of images, so that neither the numbers of instances
    nor the order of images matter.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.

    Attributes:
        parts: list of what `count` returned for the images so far.

    Raises:
        ImportError: when pycocotools is not installed.

    Source: Lin et al. 2014, "Microsoft COCO", and its evaluation code.

    Example:
    ```python
    metric = InstanceAP("cityscapes")
    truth = np.array([[7000, 7000, 11001, 11002]])
    metric.update(truth, prediction=truth, score=np.array([[0.9, 0.9, 0.8, 0.7]]))
    metric.result()["ap"]  # 1.0
    ```
    """

    def __init__(self, label_space: LabelSpace | dict | str):
        import_pycocotools()
        self.label_space = LabelSpace.create(label_space)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.parts: list[dict[str, np.ndarray]] = []

    def update(self, truth, prediction, score=None, instance_score=None) -> None:
        """Adds one image or a batch.

        A segment's score is the mean of `score` over its pixels times the mean of `instance_score`. What is
        `None` counts as 1; without both, all segments have the same score.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.
            score: float array, the probability of each pixel's class, of the shape of `prediction`; or of
                all classes, with `[num_classes]` appended.
            instance_score: float array of the shape of `prediction`, the score of each pixel's instance, for
                example the heat of its centre.

        Raises:
            ValueError: when shapes differ, a map holds a class that the label space lacks, or scores are no
                finite floats.
        """
        self.add(self.count(truth, prediction, score, instance_score))

    def count(self, truth, prediction, score=None, instance_score=None) -> dict[str, np.ndarray]:
        """What `update` adds: the instances of these maps. Changes nothing.

        Returns:
            Dict with `"sizes"` (int64 `[images, 2]`, heights and widths) and for `"truth_"` and
            `"prediction_"`, with one entry per segment, `"image"` (its index), `"class"`, `"area"`,
            `"code_length"` (int64) and `"codes"` (uint8, the concatenated masks in COCO's run-length code);
            further `"truth_crowd"` (bool) and `"prediction_score"` (float64).
        """
        scores = _read_scores(np.shape(prediction), self.label_space.num_classes, score, instance_score)
        truth, prediction = read_pair(truth, prediction)
        images = zip(truth, prediction, *scores, strict=True) if truth.size else ()
        return _join([_count_image(*maps, label_space=self.label_space) for maps in images])

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        self.parts.append(counts)

    def merge(self, other: InstanceAP) -> None:
        """Adds what another metric of the same label space has counted.

        Raises:
            ValueError: when the label spaces differ.
        """
        check_mergeable(self, other, "label_space")
        self.parts.extend(other.parts)

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with floats in 0..1. Average precision: `"ap"` (mean over the IoU thresholds 0.5, 0.55 ...
            0.95), `"ap_50"`, `"ap_75"` (at one threshold), `"ap_small"`, `"ap_medium"`, `"ap_large"` (of
            instances below, between and above 32² and 96² pixels). Average recall: `"ar_1"`, `"ar_10"`,
            `"ar_100"` (with at most so many detections per image and class), `"ar_small"`, `"ar_medium"`,
            `"ar_large"`. `"per_class"` holds each of them as float64 `[num_classes]`; the floats are their
            means over the classes. NaN stands for what has no instance in the truth, where COCO prints -1
            (and DeepLab2, without any prediction, 0); 0 for instances of which none is found.
        """
        counts = _join(self.parts)
        classes = np.unique(counts["truth_class"])
        accumulated = evaluate_masks(counts, classes)
        per_class = {}
        for name, (quantity, thresholds, area, detections) in _SUMMARIES.items():
            # Precision is [threshold, recall, class, area, detections], recall lacks the second axis.
            values = accumulated[quantity][thresholds, ..., area, detections]
            mean = values.mean(axis=tuple(range(values.ndim - 1)))
            per_class[name] = np.full(self.label_space.num_classes, np.nan)
            per_class[name][classes] = np.where(mean < 0, np.nan, mean)
        means = {
            name: float("nan") if np.isnan(values).all() else float(np.nanmean(values))
            for name, values in per_class.items()
        }
        return means | {"per_class": per_class}


def _read_scores(shape, num_classes, score, instance_score):
    """The scores that are there, as batches of maps, where predictions have a shape."""
    scores = []
    accepted = {"score": [shape, (*shape, num_classes)], "instance_score": [shape]}
    for (name, shapes), value in zip(accepted.items(), (score, instance_score), strict=True):
        if value is None:
            continue
        value = np.asarray(value)
        if not np.issubdtype(value.dtype, np.floating):
            raise ValueError(f"`{name}` must hold floats. Received: dtype={value.dtype}")
        if value.shape not in shapes:
            expected = " or ".join(map(str, shapes))
            raise ValueError(f"`{name}` must have the shape {expected}. Received: shape={value.shape}")
        scores.append(value[None] if len(shape) == 2 else value)
    return scores


def _count_image(truth, prediction, *scores, label_space):
    """What `InstanceAP.count` returns, of one image."""
    true_ids, true_counts = _count_instances("truth", truth, label_space)
    predicted_ids, predicted_counts = _count_instances("prediction", prediction, label_space)
    mean_score = np.ones(len(predicted_ids))
    if scores:
        runs = find_runs(prediction)
        segment = np.searchsorted(runs.ids, predicted_ids)
        for score in scores:
            if score.ndim == 3:
                # Void may lie beyond the classes; no instance has pixels there.
                classes = np.minimum(prediction // label_space.label_divisor, score.shape[-1] - 1)
                score = np.take_along_axis(score, classes.astype(np.int64)[..., None], axis=-1)
            mean_score = mean_score * runs.means(score)[segment]
    if not np.isfinite(mean_score).all():
        raise ValueError("The scores of instances must be finite. Received: NaN or infinity.")
    return {
        "sizes": np.array([truth.shape]),
        "truth_crowd": true_ids % label_space.label_divisor == 0,
        "prediction_score": mean_score,
        **true_counts,
        **predicted_counts,
    }


def _count_instances(side, panoptic, label_space):
    """The ids of the instances of a map in the order in which they begin, and what is counted of them."""
    if panoptic.min() < 0 or panoptic.max() > _MAX_INT32:
        raise ValueError(
            f"`{side}` must hold values from 0 to {_MAX_INT32}. "
            f"Received: {panoptic.min()} to {panoptic.max()}"
        )
    runs = find_column_runs(panoptic)
    classes = runs.ids // label_space.label_divisor
    check_classes(side, classes, label_space)
    order = runs.order_of_appearance()
    order = order[np.isin(classes[order], label_space.things)]
    codes = encode_masks(runs, order, panoptic.shape)
    return runs.ids[order], {
        f"{side}_image": np.zeros(len(order), np.int64),
        f"{side}_class": classes[order],
        f"{side}_area": runs.areas()[order].astype(np.int64),
        f"{side}_code_length": np.array([len(code) for code in codes], np.int64),
        f"{side}_codes": np.frombuffer(b"".join(codes), np.uint8),
    }


def _join(parts):
    """Several counts as one, with the images of each numbered after those of the counts before it."""
    first_image = np.cumsum([0] + [len(part["sizes"]) for part in parts])
    joined = {}
    for name, dtype in _COUNTS.items():
        arrays = [part[name] for part in parts]
        if name.endswith("_image"):
            arrays = [images + first for images, first in zip(arrays, first_image, strict=False)]
        empty = np.zeros((0, 2) if name == "sizes" else 0, dtype)
        joined[name] = np.concatenate([empty, *arrays], dtype=dtype)
    return joined
