"""Matching of true and predicted segments, the core of panoptic quality."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import check_classes

CONVENTIONS = ("deeplab2", "official")


def check_convention(convention: str) -> str:
    """The convention, or a ValueError when it is unknown."""
    if convention not in CONVENTIONS:
        raise ValueError(f"`convention` must be one of {CONVENTIONS}. Received: convention={convention!r}")
    return convention


def empty_counts(label_space: LabelSpace) -> dict[str, np.ndarray]:
    """Zeros per class: `"iou"` (the summed IoU of matches, float64) and int64 numbers of segments,
    `"true_positives"`, `"false_positives"` and `"false_negatives"`, each `[num_classes]`."""
    kinds = {"iou": np.float64}
    kinds |= dict.fromkeys(("true_positives", "false_positives", "false_negatives"), np.int64)
    return {name: np.zeros(label_space.num_classes, dtype) for name, dtype in kinds.items()}


def add_matches(
    counts: dict[str, np.ndarray],
    true_id: np.ndarray,
    predicted_id: np.ndarray,
    intersection: np.ndarray,
    label_space: LabelSpace,
    convention: str,
) -> None:
    """Matches the segments of one image (or of a window of a video) and counts them.

    Args:
        counts: as from `empty_counts`, added to in place.
        true_id: int64 `[pairs]`, with the next two as `count_pairs` finds them in two panoptic maps.
        predicted_id: int64 `[pairs]`, the segments that overlap the true ones.
        intersection: int64 `[pairs]`, their common pixels.
        label_space: `LabelSpace` of the ids.
        convention: one of `CONVENTIONS`, see `PanopticQuality`.

    Raises:
        ValueError: when an id has a class that the label space lacks.

    Source: Kirillov et al. 2019, section 4.1.
    """
    truth = _Segments("truth", true_id, intersection, label_space)
    prediction = _Segments("prediction", predicted_id, intersection, label_space)
    true_class, predicted_class = truth.classes[truth.index], prediction.classes[prediction.index]
    official = convention == "official"
    is_void = true_class == label_space.ignore_label if official else true_id == label_space.void
    is_crowd = np.zeros_like(is_void)
    if official:
        is_crowd = np.isin(true_id, np.multiply(label_space.things, label_space.label_divisor))

    on_void = prediction.sum(intersection * is_void)
    on_crowd = prediction.sum(intersection * (is_crowd & (true_class == predicted_class)))

    union = truth.area[truth.index] + (prediction.area - on_void)[prediction.index] - intersection
    comparable = (true_class == predicted_class) & (true_class != label_space.ignore_label) & ~is_crowd
    match = comparable & (2 * intersection > union)
    np.add.at(counts["iou"], true_class[match], intersection[match] / union[match])
    np.add.at(counts["true_positives"], true_class[match], 1)

    must_be_found = (truth.sum(match | is_crowd) == 0) & (truth.classes != label_space.ignore_label)
    np.add.at(counts["false_negatives"], truth.classes[must_be_found], 1)

    excused = 2 * (on_void + on_crowd) > prediction.area
    wrong = (prediction.sum(match) == 0) & ~excused & (prediction.classes != label_space.ignore_label)
    np.add.at(counts["false_positives"], prediction.classes[wrong], 1)


def summarize_quality(
    label_space: LabelSpace,
    iou: np.ndarray,
    true_positives: np.ndarray,
    false_positives: np.ndarray,
    false_negatives: np.ndarray,
) -> dict:
    """Panoptic quality from counts as `empty_counts` makes them; see `PanopticQuality.result`.

    Source: Kirillov et al. 2019, equation 1.
    """
    tp, fp, fn = true_positives, false_positives, false_negatives
    occurs = tp + fp + fn > 0
    sq, rq = np.full(occurs.shape, np.nan), np.full(occurs.shape, np.nan)
    np.divide(iou, np.maximum(tp, 1), out=sq, where=occurs)
    np.divide(tp, tp + 0.5 * fp + 0.5 * fn, out=rq, where=occurs)
    qualities = {"pq": sq * rq, "sq": sq, "rq": rq}

    is_thing = label_space.is_thing
    groups = {"": occurs, "_things": occurs & is_thing, "_stuff": occurs & ~is_thing}
    means = {
        name + suffix: float(values[group].mean()) if group.any() else float("nan")
        for suffix, group in groups.items()
        for name, values in qualities.items()
    }
    return means | {"per_class": qualities | {"tp": tp.copy(), "fp": fp.copy(), "fn": fn.copy()}}


class _Segments:
    """The segments of one side of the overlapping pairs.

    Attributes:
        index: `[pairs]`, which segment each pair belongs to.
        classes, area: `[segments]`.
    """

    def __init__(self, name, id_of_pair, intersection, label_space):
        ids, self.index = np.unique(id_of_pair, return_inverse=True)
        self.classes = ids // label_space.label_divisor
        check_classes(name, self.classes, label_space)
        self.area = self.sum(intersection)

    def sum(self, value_of_pair):
        """Per segment, the sum of an integer value over its pairs."""
        count = self.index.max(initial=-1) + 1
        return np.bincount(self.index, weights=value_of_pair, minlength=count).astype(np.int64)
