"""The metrics of an evaluation: which there are, what each looks at, and their results together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_deeplab import metrics as kinds
from keras_deeplab.labels import LabelSpace
from keras_deeplab.progress import progress_bar
from keras_deeplab.results import Segmentation


class Measure(NamedTuple):
    """A metric by name.

    Attributes:
        make: callable from label space and convention to a new metric.
        inputs: what its `count` takes, in order: names of `_INPUTS`.
    """

    make: Callable[[LabelSpace, str], object]
    inputs: tuple[str, ...]


class Input(NamedTuple):
    """What a metric looks at: where it comes from, and what to say where it is missing and must not be."""

    find: Callable[[Mapping, Segmentation, LabelSpace], object]
    missing: str | None


_MAPS = ("true_panoptic", "panoptic")
_DEPTHS = ("true_depth", "depth")
_FRAME = ("sequence", "frame")

MEASURES = {
    "pq": Measure(kinds.PanopticQuality, _MAPS),
    "miou": Measure(lambda space, _: kinds.MeanIoU(space), ("true_semantic", "semantic")),
    "ap": Measure(lambda space, _: kinds.InstanceAP(space), (*_MAPS, "score")),
    "stq": Measure(lambda space, _: kinds.SegmentationAndTrackingQuality(space), (*_MAPS, "sequence")),
    "vpq": Measure(lambda space, kind: kinds.VideoPanopticQuality(space, convention=kind), (*_MAPS, *_FRAME)),
    "depth": Measure(lambda *_: kinds.DepthMetrics(), _DEPTHS),
    "dstq": Measure(lambda space, _: kinds.DepthAwareSTQ(space), (*_MAPS, *_DEPTHS, "sequence")),
    "dvpq": Measure(lambda space, _: kinds.DepthAwareVPQ(space), (*_MAPS, *_DEPTHS, *_FRAME)),
}
PER_IMAGE = ("pq", "miou")

_NO_LABEL = "the image has no label to compare with"
_NO_VIDEO = "the dataset does not say which video a frame belongs to"


def _true_semantic(sample, _, label_space):
    panoptic = sample.get("panoptic")
    return None if panoptic is None else panoptic // label_space.label_divisor


_INPUTS = {
    "true_panoptic": Input(lambda sample, *_: sample.get("panoptic"), _NO_LABEL),
    "true_semantic": Input(_true_semantic, _NO_LABEL),
    "true_depth": Input(lambda sample, *_: sample.get("depth"), "the image has no true depth"),
    "sequence": Input(lambda sample, *_: sample.get("sequence"), _NO_VIDEO),
    "frame": Input(lambda sample, *_: sample.get("frame"), _NO_VIDEO),
    "panoptic": Input(lambda _, found, *__: found.panoptic, "there are no panoptic maps of it"),
    "semantic": Input(lambda _, found, *__: found.semantic, "there are no semantic maps of it"),
    "score": Input(lambda _, found, *__: found.score, None),
    "depth": Input(lambda _, found, *__: found.depth, "there is no predicted depth of it"),
}


def choose_metrics(sample: Mapping, segmentation: Segmentation, label_space: LabelSpace) -> tuple[str, ...]:
    """What `"auto"` stands for, from a first sample and its prediction."""
    is_panoptic = segmentation.panoptic is not None and label_space.things
    has_depth = segmentation.depth is not None and "depth" in sample
    return (("pq", "miou") if is_panoptic else ("miou",)) + (("depth",) if has_depth else ())


class Tally:
    """Several metrics that count together.

    Args:
        names: sequence of str, keys of `MEASURES`.
        label_space: `LabelSpace`.
        convention: str, see `PanopticQuality`.
    """

    def __init__(self, names: Sequence[str], label_space: LabelSpace, convention: str):
        self.label_space = label_space
        self.convention = convention
        self.metrics = {name: self._make(name) for name in MEASURES if name in names}

    def _make(self, name):
        return MEASURES[name].make(self.label_space, self.convention)

    def gather(self, sample: Mapping, segmentation: Segmentation) -> dict:
        """What the metrics look at in one image, by name.

        Raises:
            ValueError: when something is missing.
        """
        inputs = {}
        for metric in self.metrics:
            for name in MEASURES[metric].inputs:
                if name not in inputs:
                    inputs[name] = _INPUTS[name].find(sample, segmentation, self.label_space)
                missing = _INPUTS[name].missing
                if inputs[name] is None and missing:
                    raise ValueError(f'the metric "{metric}" cannot be measured: {missing}.')
        return inputs

    def count(self, inputs: Mapping) -> dict[str, dict[str, np.ndarray]]:
        """What each metric counts in one image, from what `gather` found. Changes nothing."""
        return {
            name: metric.count(*(inputs[key] for key in MEASURES[name].inputs))
            for name, metric in self.metrics.items()
        }

    def add(self, counts: Mapping[str, dict[str, np.ndarray]]) -> None:
        """Adds what `count` found."""
        for name, metric in self.metrics.items():
            metric.add(counts[name])

    def image_scores(self, counts: Mapping[str, dict[str, np.ndarray]]) -> dict[str, float]:
        """PQ and mean IoU of one image alone, of those that are measured."""
        scores = {}
        for name in PER_IMAGE:
            if name in self.metrics:
                metric = self._make(name)
                metric.add(counts[name])
                scores[name] = metric.result()[name]
        return scores

    def result(self) -> dict:
        """The results of all metrics in one dict of plain values, see `evaluate`."""
        means, arrays, sequences = {}, {}, {}
        for name, metric in self.metrics.items():
            result = metric.result()
            # Mean IoU comes before tracking quality, whose IoU is of the panoptic maps.
            arrays = result.pop("per_class", {}) | arrays
            for sequence, row in result.pop("per_sequence", {}).items():
                sequences.setdefault(str(sequence), {}).update(row)
            means |= {key: value for key, value in result.items() if isinstance(value, (int, float))}
            if hasattr(metric, "convention"):
                means["convention"] = metric.convention
            if name == "miou":
                means["confusion"] = metric.confusion.tolist()
        per_class = {
            name: {key: array[class_id].item() for key, array in arrays.items()}
            for class_id, name in enumerate(self.label_space.classes)
        }
        rows = {"per_sequence": sequences} if sequences else {}
        return means | {"per_class": per_class} | rows


@contextlib.contextmanager
def naming_image(name: str):
    """Makes ValueErrors name the image."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Image {name!r}: {error}") from error


def count_image(tally: Tally, item: tuple[int, str, Mapping]) -> tuple[int, str, dict]:
    """Counts in one image: index, name and inputs in, index, name and counts out."""
    index, name, inputs = item
    with naming_image(name):
        return index, name, tally.count(inputs)


def add_up(tally: Tally, counted: Iterable[tuple[int, str, dict]], total: int, progress: bool) -> dict:
    """The results of a dataset whose images were counted, with a progress bar."""
    rows = []
    for index, name, counts in progress_bar(counted, total, "Evaluating") if progress else counted:
        with naming_image(name):
            tally.add(counts)
        rows.append({"index": index, "name": name, **tally.image_scores(counts)})
    return tally.result() | {"images": len(rows), "per_image": rows}
