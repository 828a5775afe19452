"""Training targets: what the losses of a model take, computed from one label map."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs


def semantic_targets(panoptic: np.ndarray, label_space: LabelSpace) -> dict[str, np.ndarray]:
    """Targets of semantic segmentation.

    Args:
        panoptic: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.

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
    runs = find_runs(panoptic)
    classes, _ = classes_and_instances(runs, label_space)
    return {
        "semantic": runs.paint(classes, np.int32),
        "semantic_weight": np.ones(runs.shape, np.float32),
    }


def panoptic_targets(
    panoptic: np.ndarray,
    label_space: LabelSpace,
    sigma: int = 8,
    small_instance_area: int = 4096,
    small_instance_weight: float | None = 3.0,
) -> dict[str, np.ndarray]:
    """Targets of Panoptic-DeepLab: semantic classes, instance centres and offsets to them.

    Every instance is represented by its centre of mass. Stuff, crowd (a thing class with instance 0)
    and void have no centre. The semantic target keeps the class of crowd regions.

    Args:
        panoptic: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.
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
    if sigma <= 0:
        raise ValueError(f"`sigma` must be positive. Received: sigma={sigma}")
    runs = find_runs(panoptic)
    classes, instances = classes_and_instances(runs, label_space)
    void = classes == label_space.ignore_label
    thing = np.isin(classes, label_space.things)
    crowd = thing & (instances == 0)
    has_center = (instances != 0) & ~void

    # Halves go to the even pixel, after rounding to float32.
    centers = np.rint(runs.centers().astype(np.float32)).astype(np.int64)
    weights = np.ones(len(classes), np.float32)
    if small_instance_weight is not None:
        weights[has_center & (runs.areas() < small_instance_area)] = small_instance_weight
    return {
        "semantic": runs.paint(classes, np.int32),
        "semantic_weight": runs.paint(weights, np.float32),
        "center_heatmap": _center_heatmap(centers[has_center], runs.shape, sigma)[..., None],
        "center_weight": runs.paint(~crowd & ~void, np.float32),
        "center_offset": _center_offset(runs, centers, has_center),
        "offset_weight": runs.paint(thing & ~crowd, np.float32),
    }


def classes_and_instances(runs, label_space):
    classes, instances = np.divmod(runs.ids, label_space.label_divisor)
    known = ((classes >= 0) & (classes < label_space.num_classes)) | (classes == label_space.ignore_label)
    if not known.all():
        unknown = ", ".join(str(c) for c in np.unique(classes[~known])[:10])
        raise ValueError(
            f"The panoptic map holds classes that label space {label_space.name!r} does not have: {unknown}. "
            f"It has classes 0 to {label_space.num_classes - 1} and ignore_label {label_space.ignore_label}; "
            f"a pixel's value is class * {label_space.label_divisor} + instance."
        )
    return classes, instances


def _center_heatmap(centers, shape, sigma):
    height, width = shape
    radius = int(3 * sigma) + 1
    reach = np.arange(-radius, radius + 1)
    gaussian = np.exp(-(reach[:, None] ** 2 + reach**2) / (2 * sigma**2)).astype(np.float32)
    rows, columns = centers[:, :1] + reach, centers[:, 1:] + reach  # [K, size]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    pixels = (rows * width)[:, :, None] + columns[:, None]
    heatmap = np.zeros(height * width, np.float32)
    np.maximum.at(heatmap, pixels[inside], np.broadcast_to(gaussian, inside.shape)[inside])
    return heatmap.reshape(shape)


def _center_offset(runs, centers, has_center):
    height, width = runs.shape
    offset = np.zeros((height, width, 2), np.float32)
    of_instance = has_center[runs.segment]
    segment, lengths = runs.segment[of_instance], runs.lengths[of_instance]
    rows, starts = runs.rows[of_instance], runs.columns[of_instance]
    # Pixel columns of all instance runs, one after another.
    ends = np.cumsum(lengths)
    columns = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    pixels = np.repeat(rows * width, lengths) + columns
    flat = offset.reshape(-1, 2)
    flat[pixels, 0] = np.repeat(centers[segment, 0] - rows, lengths)
    flat[pixels, 1] = np.repeat(centers[segment, 1], lengths) - columns
    return offset
