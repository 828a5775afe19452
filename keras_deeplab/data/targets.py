"""Training targets: what the losses of a model take, computed from the label maps of a sample.

Every function of targets is called as `(sample, label_space, rng)`, which is how a pipeline calls it. Where
one map is enough, the map itself can take the place of the sample. Only targets with noise need `rng`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_deeplab.data.centers import center_heatmap, offset_to_centers, rounded_centers
from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import Runs, find_runs
from keras_deeplab.segments import check_classes


def semantic_targets(
    sample: Mapping | np.ndarray, label_space: LabelSpace, rng: np.random.Generator | None = None
) -> dict[str, np.ndarray]:
    """Targets of semantic segmentation.

    Args:
        sample: dict with `"panoptic"`, or that map: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.
        rng: not used.

    Returns:
        Dict of `"semantic"` int32 `[H, W]`, the class with `ignore_label` for void, and
        `"semantic_weight"` float32 `[H, W]`, all ones: void is left to the loss's `ignore_label`.

    Raises:
        ValueError: when the map is not an integer `[H, W]` or holds a class that the label space
            does not have.

    Example:
    ```python
    targets = semantic_targets(np.array([[7000, 11003]]), CITYSCAPES)
    targets["semantic"]  # [[7, 11]]
    ```
    """
    segments = find_segments(map_of(sample), label_space)
    return {
        "semantic": segments.runs.paint(segments.classes, np.int32),
        "semantic_weight": np.ones(segments.runs.shape, np.float32),
    }


def panoptic_targets(
    sample: Mapping | np.ndarray,
    label_space: LabelSpace,
    rng: np.random.Generator | None = None,
    *,
    sigma: int = 8,
    small_instance_area: int = 4096,
    small_instance_weight: float | None = 3.0,
) -> dict[str, np.ndarray]:
    """Targets of Panoptic-DeepLab: semantic classes, instance centres and offsets to them.

    Every instance is represented by its centre of mass. Stuff, crowd (a thing class with instance 0)
    and void have no centre. The semantic target keeps the class of crowd regions.

    Args:
        sample: dict with `"panoptic"`, or that map: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.
        rng: not used.
        sigma: int. Standard deviation in pixels of the Gaussian around a centre.
        small_instance_area: int. Instances with fewer pixels than this are small.
        small_instance_weight: float. Semantic weight of the pixels of small instances; `None` is 1.

    Returns:
        Dict of numpy arrays:
            `"semantic"`: int32 `[H, W]`, the class, `ignore_label` for void.
            `"semantic_weight"`: float32 `[H, W]`, 1 or `small_instance_weight`.
            `"center_heatmap"`: float32 `[H, W, 1]`, 1 at a centre; the largest of all Gaussians, each
                cut to a square of `6 * sigma + 3` pixels.
            `"center_weight"`: float32 `[H, W]`, 0 on crowd and void, else 1.
            `"center_offset"`: float32 `[H, W, 2]`, (y, x) from the pixel to its instance's centre in
                pixels, 0 outside of instances.
            `"offset_weight"`: float32 `[H, W]`, 1 on instances of thing classes, else 0.

    Raises:
        ValueError: when the map is not an integer `[H, W]` or holds a class that the label space
            does not have, or when `sigma` is not positive.

    Source: Cheng et al. 2020, "Panoptic-DeepLab", section 3.2; the weight of small instances is
    from DeeperLab, Yang et al. 2019, section 3.2.

    Example:
    ```python
    road, car = 0, 13
    panoptic = np.full((65, 129), road * 1000)
    panoptic[20:31, 40:61] = car * 1000 + 1
    targets = panoptic_targets(panoptic, CITYSCAPES)
    targets["center_heatmap"][25, 50]  # [1.0]
    targets["center_offset"][20, 40]  # [5.0, 10.0]
    ```
    """
    segments = find_segments(map_of(sample), label_space)
    runs, instances = segments.runs, segments.is_instance
    centers = rounded_centers(runs)[instances]
    return {
        "semantic": runs.paint(segments.classes, np.int32),
        "semantic_weight": small_instance_weights(segments, small_instance_area, small_instance_weight),
        "center_heatmap": center_heatmap(centers, runs.shape, sigma),
        "center_weight": runs.paint(~segments.is_crowd & ~segments.is_void, np.float32),
        "center_offset": offset_to_centers(runs, runs.ids[instances], centers),
        "offset_weight": runs.paint(segments.is_thing & ~segments.is_crowd, np.float32),
    }


class Segments(NamedTuple):
    """What the ids of a panoptic map stand for.

    Attributes:
        runs: `Runs` of the map, K ids.
        classes: int64 `[K]`, `ignore_label` for void.
        is_void: bool `[K]`.
        is_thing: bool `[K]`, whether the class is a thing class.
        is_crowd: bool `[K]`, things without an instance.
        is_instance: bool `[K]`, ids with an instance, of whatever class.
    """

    runs: Runs
    classes: np.ndarray
    is_void: np.ndarray
    is_thing: np.ndarray
    is_crowd: np.ndarray
    is_instance: np.ndarray


def find_segments(panoptic: np.ndarray, label_space: LabelSpace) -> Segments:
    """The segments of a panoptic map.

    Raises:
        ValueError: when the map is not an integer `[H, W]` or holds a class that the label space lacks.
    """
    runs = find_runs(panoptic)
    classes, instances = np.divmod(runs.ids, label_space.label_divisor)
    check_classes("panoptic", classes, label_space)
    is_void = classes == label_space.ignore_label
    is_thing = np.isin(classes, label_space.things)
    return Segments(
        runs, classes, is_void, is_thing, is_thing & (instances == 0), ~is_void & (instances != 0)
    )


def find_segments_of_frames(
    sample: Mapping, neighbour: str, label_space: LabelSpace
) -> tuple[Segments, Segments]:
    """The segments of a sample's own panoptic map and of a neighbouring frame's, the field `neighbour`.

    Raises:
        ValueError: when a map is missing or `find_segments` refuses it, or when the two differ in size.
    """
    own, other = (find_segments(map_of(sample, field), label_space) for field in ("panoptic", neighbour))
    if own.runs.shape != other.runs.shape:
        raise ValueError(
            f"Sample {sample.get('name', '')!r} has maps of different sizes: panoptic {own.runs.shape}, "
            f"{neighbour} {other.runs.shape}."
        )
    return own, other


def small_instance_weights(segments: Segments, area: int, weight: float | None) -> np.ndarray:
    """float32 `[H, W]`: `weight` on instances of fewer than `area` pixels, else 1; all 1 for `None`."""
    if weight is None:
        return np.ones(segments.runs.shape, np.float32)
    is_small = segments.is_instance & (segments.runs.areas() < area)
    return segments.runs.paint(np.where(is_small, weight, 1), np.float32)


def map_of(sample: Mapping | np.ndarray, field: str = "panoptic") -> np.ndarray:
    """A field of a sample; in place of a sample with `"panoptic"` alone, the map itself will do.

    Raises:
        ValueError: when the sample lacks the field.
    """
    if not isinstance(sample, Mapping):
        if field == "panoptic":
            return sample
        raise ValueError(
            f"Targets that need {field!r} need a whole sample. Received: {type(sample).__name__}"
        )
    if field not in sample:
        raise ValueError(f"Sample {sample.get('name', '')!r} has no {field!r}. It has: {', '.join(sample)}.")
    return sample[field]
