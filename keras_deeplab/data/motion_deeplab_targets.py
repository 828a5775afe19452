"""Training targets of Motion-DeepLab, which tracks instances from the previous frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_deeplab.data.centers import center_heatmap, nonzero_offset, offset_to_centers
from keras_deeplab.data.targets import find_segments_of_frames, panoptic_targets
from keras_deeplab.labels import LabelSpace


def motion_targets(
    sample: Mapping,
    label_space: LabelSpace,
    rng: np.random.Generator | None = None,
    *,
    sigma: int = 8,
    small_instance_area: int = 4096,
    small_instance_weight: float | None = 3.0,
    center_noise: float = 0.05,
    false_positive_rate: float = 0.2,
) -> dict[str, np.ndarray]:
    """Targets of Motion-DeepLab: those of Panoptic-DeepLab, and the way back to the previous frame.

    In training the network sees the previous frame's true centres as a heat map in place of predicted ones.
    Noise keeps it from relying on them: every centre moves by a normal draw in proportion to the extent of
    its instance, and with some probability a false centre joins it, displaced from it in the same manner.

    Args:
        sample: dict with `"panoptic"` and `"previous_panoptic"`, integer `[H, W]`,
            `class * label_divisor + instance`, in which an object keeps its id.
        label_space: `LabelSpace` of the maps.
        rng: draws the noise; `None` for none.
        sigma: int. Standard deviation in pixels of the Gaussian around a centre.
        small_instance_area: int. Instances with fewer pixels than this are small.
        small_instance_weight: float. Semantic weight of the pixels of small instances; `None` is 1.
        center_noise: float. Standard deviation of the noise, as a share of an instance's height and width.
        false_positive_rate: float in [0, 1]. Probability of a false centre for every instance.

    Returns:
        Dict of numpy arrays: those of `panoptic_targets` and
            `"motion_offset"`: float32 `[H, W, 2]`, (y, x) from the pixel to where its instance's centre was
                in the previous frame, noise included; 0 on all that is not an instance of both frames.
            `"motion_weight"`: float32 `[H, W]`, 1 where the offset is not 0.
            `"previous_center_heatmap"`: float32 `[H, W, 1]`, the network's input beside the two images.

    Raises:
        ValueError: when a map is missing, is not an integer `[H, W]` or holds a class that the label space
            does not have; when the maps differ in size or `sigma` is not positive.

    Source: Weber et al. 2021, "STEP: Segmenting and Tracking Every Pixel"; the noise follows Zhou et al.
    2020, "Tracking Objects as Points", section 4.

    Example:
    ```python
    car = 13001
    sample = {"panoptic": np.array([[0, 0, car]]), "previous_panoptic": np.array([[car, 0, 0]])}
    motion_targets(sample, CITYSCAPES)["motion_offset"][0, 2]  # [0.0, -2.0]
    ```
    """
    targets = panoptic_targets(
        sample,
        label_space,
        sigma=sigma,
        small_instance_area=small_instance_area,
        small_instance_weight=small_instance_weight,
    )
    own, previous = find_segments_of_frames(sample, "previous_panoptic", label_space)
    order = previous.runs.order_of_appearance()
    instances = order[previous.is_instance[order]]
    centers, false_centers = _noisy_centers(previous.runs, instances, rng, center_noise, false_positive_rate)
    offset = offset_to_centers(own.runs, previous.runs.ids[instances], centers)
    all_centers = np.concatenate([centers, false_centers])
    return {
        **targets,
        "motion_offset": offset,
        "motion_weight": nonzero_offset(offset),
        "previous_center_heatmap": center_heatmap(all_centers, own.runs.shape, sigma),
    }


def _noisy_centers(runs, instances, rng, noise, false_positive_rate):
    """Centres of the instances, int64 `[N, 2]`, moved by noise, and false ones beside some of them."""
    centers = runs.centers()[instances].astype(np.float32)
    if rng is None:
        return _to_pixels(centers, runs.shape), np.zeros((0, 2), np.int64)
    boxes = runs.boxes()[instances]
    # The way from the first to the last pixel.
    extent = boxes[:, 2:] - boxes[:, :2] - 1
    draws = rng.standard_normal((len(instances), 2, 2)) * noise * extent[:, None]
    is_beside = rng.random(len(instances)) < false_positive_rate
    centers = _to_pixels(centers + draws[:, 0], runs.shape)
    return centers, _to_pixels(centers + draws[:, 1], runs.shape)[is_beside]


def _to_pixels(points, shape):
    """The nearest pixel of the map, int64 `[N, 2]`; halves go to the even one."""
    return np.clip(np.rint(points).astype(np.int64), 0, np.array(shape) - 1)
