"""Segmentation and tracking quality of panoptic videos."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.maps import read_pair
from keras_deeplab.metrics.merging import check_mergeable
from keras_deeplab.metrics.pair_totals import PairTotals
from keras_deeplab.metrics.sequences import read_sequences, sort_sequences
from keras_deeplab.segments import check_classes, count_pairs


class SegmentationAndTrackingQuality:
    """Segmentation and tracking quality, STQ = sqrt(AQ * IoU) (Weber et al. 2021, section 4).

    A tube is all pixels of a sequence that have one panoptic value of a thing class. Association quality
    (AQ) of a true tube sums, over the predicted tubes that overlap it, the overlap times the IoU of the two,
    and divides by the size of the true tube; the mean is over the true tubes of all sequences, and 0 when
    there are none. IoU is the mean over classes of the intersection over union of the semantic maps.

    As DeepLab2 computes it:

    - The classes of overlapping tubes may differ: AQ judges tracking only.
    - Crowd (thing pixels of the truth with instance 0) belongs to no tube, neither true nor predicted, but
      counts in the IoU.
    - Pixels whose truth is void count in the size of predicted tubes, but not in the IoU.
    - A predicted thing pixel with instance 0 belongs to a tube like any other.
    - Void that is predicted where the truth has a class counts as one more class, with an IoU of 0.

    Args:
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.

    Attributes:
        pairs: dict from sequence to `PairTotals`, pixels by true and predicted panoptic value.
        frames: dict from sequence to int, its number of images.

    Source: Weber et al. 2021, "STEP: Segmenting and Tracking Every Pixel".

    Example:
    ```python
    metric = SegmentationAndTrackingQuality("kitti_step")
    truth = np.array([[11_001, 11_001, 0, 0]])
    metric.update(truth, prediction=truth, sequence="0002")
    metric.update(truth, prediction=np.array([[11_002, 11_002, 0, 0]]), sequence="0002")
    metric.result()["aq"]  # 0.5: each predicted tube has half of the true one
    ```
    """

    def __init__(self, label_space: LabelSpace | dict | str):
        self.label_space = LabelSpace.create(label_space)
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self.pairs: dict[str | int, PairTotals] = {}
        self.frames: dict[str | int, int] = {}

    def update(self, truth, prediction, sequence, weights=None) -> None:
        """Adds one image or a batch. The images of a sequence may come in any order.

        Args:
            truth: integer array `[H, W]` or `[B, H, W]`, true panoptic maps.
            prediction: integer array of the same shape, predicted panoptic maps.
            sequence: str or int, the sequence that the images belong to, or one for each image of a batch.
            weights: optional float array `[H, W]` or of the shape of `truth`, how much each pixel counts,
                e.g. 0.5 where two cameras see the same. 0 leaves a pixel out.

        Raises:
            ValueError: when shapes differ, a map holds a class that the label space lacks, weights are
                negative or not finite, or the ids of sequences do not suit.
        """
        self.add(self.count(truth, prediction, sequence, weights))

    def count(self, truth, prediction, sequence, weights=None) -> dict[str, np.ndarray]:
        """What `update` adds. Changes nothing.

        Returns:
            Dict with `"sequence"` `[B]`, and one entry for each pair of values in an image: `"image"` (its
            index in the batch), `"truth"`, `"prediction"` (int64) and `"pixels"` (float64).
        """
        truth, prediction = read_pair(truth, prediction)
        sequences = read_sequences(sequence, len(truth))
        weights = [None] * len(truth) if weights is None else _read_weights(weights, truth.shape)
        pairs = [count_pairs(*maps) for maps in zip(truth, prediction, weights, strict=True)]
        empty = (np.zeros(0, np.int64),) * 3
        true_id, predicted_id, pixels = map(np.concatenate, zip(empty, *pairs, strict=True))
        for name, ids in (("truth", true_id), ("prediction", predicted_id)):
            check_classes(name, ids // self.label_space.label_divisor, self.label_space)
        counted = pixels > 0
        return {
            "sequence": sequences,
            "image": np.repeat(np.arange(len(pairs)), [len(part[0]) for part in pairs])[counted],
            "truth": true_id[counted],
            "prediction": predicted_id[counted],
            "pixels": pixels[counted].astype(np.float64),
        }

    def add(self, counts: dict[str, np.ndarray]) -> None:
        """Adds what `count` found."""
        for image, sequence in enumerate(counts["sequence"].tolist()):
            here = counts["image"] == image
            self._add(sequence, 1, [counts[name][here] for name in ("truth", "prediction", "pixels")])

    def merge(self, other: SegmentationAndTrackingQuality) -> None:
        """Adds what another metric of the same label space has counted, of other sequences or of the same.

        Raises:
            ValueError: when the label spaces differ.
        """
        check_mergeable(self, other, "label_space")
        for sequence, pairs in other.pairs.items():
            self._add(sequence, other.frames[sequence], pairs.sum())

    def result(self) -> dict:
        """The metric over all images so far.

        Returns:
            Dict with floats `"stq"`, `"aq"` and `"iou"`; `"per_class"`, whose `"iou"` is float64
            `[num_classes]` with NaN for classes that are neither true nor predicted; and `"per_sequence"`,
            a dict from each sequence to its own `"stq"`, `"aq"`, `"iou"` and `"frames"` (int). The IoU, and
            with it STQ, is NaN when no pixel has a true class.
        """
        per_sequence, confusions, qualities = {}, [], []
        for sequence in sort_sequences(self.pairs):
            pairs = self.pairs[sequence].sum()
            confusions.append(_confuse_classes(*pairs, self.label_space))
            qualities.append(associate_tubes(*pairs, self.label_space))
            scores, _ = _summarize(confusions[-1], qualities[-1])
            per_sequence[sequence] = scores | {"frames": self.frames[sequence]}
        size = self.label_space.num_classes + 1
        confusion = sum(confusions, start=np.zeros((size, size)))
        scores, iou = _summarize(confusion, np.concatenate([np.zeros(0), *qualities]))
        per_class = {"iou": iou[: self.label_space.num_classes]}
        return scores | {"per_class": per_class, "per_sequence": per_sequence}

    def _add(self, sequence, frames, pairs):
        self.pairs.setdefault(sequence, PairTotals()).add(*pairs)
        self.frames[sequence] = self.frames.get(sequence, 0) + frames


def associate_tubes(
    true_id: np.ndarray, predicted_id: np.ndarray, pixels: np.ndarray, label_space: LabelSpace
) -> np.ndarray:
    """Association quality of each true tube of a sequence.

    Args:
        true_id: int64 `[pairs]`, with the next two as `PairTotals.sum` gives them for a sequence.
        predicted_id: int64 `[pairs]`.
        pixels: float64 `[pairs]`, their common pixels, > 0.
        label_space: `LabelSpace` of the ids.

    Returns:
        float64 `[tubes]` in 0..1, in the order of the true panoptic values.

    Source: Weber et al. 2021, equations of association quality.
    """
    divisor = label_space.label_divisor
    is_true_thing, is_thing = (np.isin(ids // divisor, label_space.things) for ids in (true_id, predicted_id))
    is_crowd = is_true_thing & (true_id % divisor == 0)
    in_true_tube, in_predicted_tube = is_true_thing & ~is_crowd, is_thing & ~is_crowd

    _, tube = np.unique(true_id, return_inverse=True)
    _, predicted_tube = np.unique(predicted_id, return_inverse=True)
    true_area = np.bincount(tube, pixels * in_true_tube)
    predicted_area = np.bincount(predicted_tube, pixels * in_predicted_tube)

    both = in_true_tube & in_predicted_tube
    overlap, tube, predicted_tube = pixels[both], tube[both], predicted_tube[both]
    iou = overlap / (true_area[tube] + predicted_area[predicted_tube] - overlap)
    quality = np.bincount(tube, overlap * iou, len(true_area))
    return quality[true_area > 0] / true_area[true_area > 0]


def _confuse_classes(true_id, predicted_id, pixels, label_space):
    """Pixels by true and predicted class, float64 `[num_classes + 1] * 2`; the last column is void outside of
    the classes. Void truth is left out."""
    true_class, predicted_class = (
        true_id // label_space.label_divisor,
        predicted_id // label_space.label_divisor,
    )
    confusion = np.zeros((label_space.num_classes + 1,) * 2)
    valid = true_class != label_space.ignore_label
    column = np.minimum(predicted_class[valid], label_space.num_classes)
    np.add.at(confusion, (true_class[valid], column), pixels[valid])
    return confusion


def _summarize(confusion, tube_quality):
    """`"stq"`, `"aq"` and `"iou"`, and the IoU of every class, NaN where a class does not occur."""
    intersection = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    class_iou = np.full(union.shape, np.nan)
    np.divide(intersection, union, out=class_iou, where=union > 0)
    iou = class_iou[union > 0].mean() if (union > 0).any() else np.nan
    aq = tube_quality.mean() if tube_quality.size else 0.0
    return {"stq": float(np.sqrt(aq * iou)), "aq": float(aq), "iou": float(iou)}, class_iou


def _read_weights(weights, shape):
    """Weights of pixels as float `[B, H, W]`."""
    weights = np.asarray(weights)
    if weights.shape not in (shape, shape[1:]):
        raise ValueError(
            f"`weights` must have the shape of one map, {shape[1:]}, or of all, {shape}. "
            f"Received: {weights.shape}"
        )
    if not np.issubdtype(weights.dtype, np.floating):
        raise ValueError(f"`weights` must hold floats. Received: dtype={weights.dtype}")
    if not (weights.min(initial=0) >= 0 and np.isfinite(weights.max(initial=0))):
        raise ValueError("`weights` must be finite and not negative.")
    return np.broadcast_to(weights, shape)
