"""What a dataset holds: sizes, classes, instances, and samples that cannot be used."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deeplab.data.targets import find_segments
from keras_deeplab.labels import LabelSpace
from keras_deeplab.progress import progress_bar

# Samples in flight: enough to keep all threads busy, few enough for the memory.
_SAMPLES_PER_THREAD = 2


@dataclasses.dataclass
class Inspection:
    """Counts over a dataset.

    Attributes:
        samples: int. Number of samples looked at.
        labelled: int. Number of samples with a panoptic map.
        sequences: int. Number of videos.
        sizes: dict from `(height, width)` to the number of samples of that size.
        pixels: int64 `[num_classes]`, labelled pixels of each class.
        void_pixels: int. Pixels without a class.
        crowd_pixels: int. Pixels of thing classes without an instance.
        images: int64 `[num_classes]`, samples in which each class occurs.
        instances: int64 `[num_classes]`, instances of each class.
        problems: list of str. Why samples cannot be used, one message each.
    """

    samples: int
    labelled: int
    sequences: int
    sizes: dict[tuple[int, int], int]
    pixels: np.ndarray
    void_pixels: int
    crowd_pixels: int
    images: np.ndarray
    instances: np.ndarray
    problems: list[str]

    def to_dict(self, label_space: LabelSpace) -> dict:
        """The counts as plain values, ready for JSON."""
        return {
            "label_space": label_space.name,
            "samples": self.samples,
            "labelled": self.labelled,
            "sequences": self.sequences,
            "sizes": {f"{height}x{width}": count for (height, width), count in self.sizes.items()},
            "void_pixels": self.void_pixels,
            "crowd_pixels": self.crowd_pixels,
            "classes": {
                name: {
                    "pixels": int(self.pixels[class_id]),
                    "images": int(self.images[class_id]),
                    "instances": int(self.instances[class_id]),
                }
                for class_id, name in enumerate(label_space.classes)
                if class_id != label_space.ignore_label
            },
            "problems": self.problems,
        }


def inspect_dataset(reader: Sequence[dict], label_space: LabelSpace | None = None) -> Inspection:
    """Reads all samples of a dataset and counts what they hold.

    Samples that cannot be read, or whose labels the label space does not have, are listed and left out of
    the counts.

    Args:
        reader: sequence of samples, e.g. `Cityscapes`.
        label_space: `LabelSpace` of the samples; that of the reader when `None`.

    Returns:
        `Inspection`.

    Raises:
        ValueError: when the reader has no samples.

    Example:
    ```python
    inspection = inspect_dataset(StreetScenes(8))
    inspection.instances[13]  # cars
    ```
    """
    if len(reader) == 0:
        raise ValueError(f"The dataset has no samples: {reader!r}")
    label_space = LabelSpace.create(reader.label_space if label_space is None else label_space)
    counts = {name: np.zeros(label_space.num_classes, np.int64) for name in ("pixels", "images", "instances")}
    totals, sizes, sequences, problems = collections.Counter(), collections.Counter(), set(), []
    for facts in progress_bar(_facts_of_samples(reader, label_space), len(reader), "Inspecting"):
        if isinstance(facts, str):
            problems.append(facts)
            continue
        sizes[facts.size] += 1
        sequences |= {facts.sequence} - {None}
        totals.update(labelled=int(facts.labels is not None))
        if facts.labels is not None:
            for name, values in counts.items():
                values += facts.labels[name]
            totals.update(void=facts.labels["void"], crowd=facts.labels["crowd"])
    return Inspection(
        len(reader), totals["labelled"], len(sequences), dict(sizes.most_common()),
        void_pixels=totals["void"], crowd_pixels=totals["crowd"], problems=problems, **counts,
    )  # fmt: skip


@dataclasses.dataclass
class _Facts:
    size: tuple[int, int]
    sequence: str | None
    labels: dict | None


def _facts_of_samples(reader, label_space) -> Iterator[_Facts | str]:
    """The facts of each sample, or why it cannot be used, in order."""
    threads = min(os.cpu_count() or 1, 16)
    with ThreadPoolExecutor(threads) as pool:
        pending = collections.deque()
        for index in range(len(reader)):
            pending.append(pool.submit(_facts_of_sample, reader, index, label_space))
            if len(pending) >= threads * _SAMPLES_PER_THREAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _facts_of_sample(reader, index, label_space):
    try:
        sample = reader[index]
    except (ValueError, OSError) as error:
        return str(error)
    try:
        panoptic = sample.get("panoptic")
        labels = None if panoptic is None else _count_labels(panoptic, label_space)
    except ValueError as error:
        return f"Sample {sample['name']!r}: {error}"
    height, width = sample.get("image", panoptic).shape[:2]
    return _Facts((height, width), sample.get("sequence"), labels)


def _count_labels(panoptic, label_space):
    segments = find_segments(panoptic, label_space)
    areas = segments.runs.areas().astype(np.int64)
    known = ~segments.is_void
    pixels = np.zeros(label_space.num_classes, np.int64)
    np.add.at(pixels, segments.classes[known], areas[known])
    instances = segments.classes[segments.is_thing & ~segments.is_crowd & known]
    return {
        "pixels": pixels,
        "images": (pixels > 0).astype(np.int64),
        "instances": np.bincount(instances, minlength=label_space.num_classes),
        "void": int(areas[~known].sum()),
        "crowd": int(areas[segments.is_crowd].sum()),
    }
